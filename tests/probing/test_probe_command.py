"""`globalconv probe` as a user meets it: the table, the files, the pictures, and mistakes."""

import json
import platform
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from globalconv.mixers import GlobalConv
from globalconv.probes import interaction_order
from globalconv.probes.memory import GRADIENT, SECOND, VALUES
from globalconv.probes.subject import subject_of
from globalconv.probing.bare_stack import BareStack
from globalconv.probing.questions import Question
from globalconv.probing.target import ProbeRequest, find_target
from globalconv.probing.time_estimate import Pace, pace_of
from globalconv.study.runs.execute import execute_run
from globalconv.study.spec import DecoderSpec, ModelSpec, RunSpec, TaskChoice
from globalconv.tasks import build_task
from globalconv.training.settings import TrainingSettings
from tests.study.small_studies import globalconv

PICTURES = ("interaction-order", "interactions", "content-dependence", "probes")
PROBES = (
    *("influence", "reach", "causality", "interaction", "interaction order", "content dependence"),
    *("shifts", "permutations", "positions"),
)
SMALL = ("--length", "8", "--width", "8", "--depth", "2", "--limit", "5")
MODULE = """
import torch
from torch import nn

class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = x + layer(x).mean(dim=1, keepdim=True).square()
        return x

class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)

instance = Mean()
values = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
number = 3
def build():
    return Mean()
def broken():
    raise RuntimeError("no weights")
def nothing():
    return None
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "probed_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.delitem(sys.modules, "probed_module", raising=False)


def read(out: Path) -> dict:
    text = (out / "probe.json").read_text()
    assert platform.node() not in text
    assert str(Path.home()) not in text
    return json.loads(text)


def pictures(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["probe.json", *(f"{name}.png" for name in PICTURES)]
    )
    for name in PICTURES:
        with Image.open(out / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 20, name


def test_a_mixer_beside_the_others(tmp_path):
    ended = globalconv("probe", "global_conv", *SMALL, "--depth", "3", "--out", tmp_path / "found")
    assert ended.code == 0, ended
    printed = " ".join(ended.out.split())
    for words in (
        *PROBES,
        "Not causal",
        "Equivariant to circular shifts",
        "probes, done",
        "3 untrained blocks",
    ):
        assert words in printed, (words, ended.out)
    assert "global_conv 1, 2, 4; gated_conv 2," in printed
    assert "attention 5+." in printed
    assert "global_conv none, some" in printed
    assert "global_conv 0; gated_conv 0." in printed
    record = read(tmp_path / "found")
    assert list(record["results"]) == list(PROBES)
    assert record["not_asked"] == {}
    orders = record["interaction_order_by_depth"]
    assert {depth: order["order"] for depth, order in orders["global_conv"].items()} == {
        "1": 1,
        "2": 2,
        "3": 4,
    }
    assert list(orders["attention"]) == ["1"]
    assert not any(map(any, record["interactions_after_layers"]["global_conv"]["1"]["strength"]))
    assert record["content_dependence_of_mixers"]["attention"][0]["share"] > 0.01
    assert all("line" in result for result in record["results"].values())
    pictures(tmp_path / "found")


@pytest.fixture
def no_pictures(monkeypatch):
    """Drawing takes longer than probing."""
    monkeypatch.setattr("globalconv.probing.pictures.pictures", lambda *_, **__: [])


@pytest.mark.usefixtures("no_pictures")
def test_a_mixer_from_outside_joins_the_usual_ones(tmp_path):
    ended = globalconv("probe", "globalconv.mixers:TokenMLP", *SMALL, "--out", tmp_path)
    assert ended.code == 0, ended
    assert list(read(tmp_path)["interaction_order_by_depth"])[-1] == "globalconv.mixers:TokenMLP"


def test_a_causal_mixer_gives_the_same_files_again(tmp_path):
    for out in ("one", "two"):
        ended = globalconv("probe", "gated_conv", *SMALL, "--causal", "--out", tmp_path / out)
        assert ended.code == 0, ended
        assert "to the last digit" in " ".join(ended.out.split())
    for file in ("probe.json", *(f"{name}.png" for name in PICTURES)):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.usefixtures("module")
def test_a_module_of_the_users(tmp_path):
    out = tmp_path / "found"
    words = ("--length", "6", "--vocabulary", "9", "--limit", "6")
    ended = globalconv("probe", "probed_module:Mean", *words, "--out", out)
    assert ended.code == 0, ended
    record = read(out)
    assert record["inputs"] == [4, 6]
    assert "eval mode" in ended.out
    (orders,) = record["interaction_order_by_depth"].values()
    assert len(orders) == 2
    pictures(out)


@pytest.mark.usefixtures("module", "no_pictures")
def test_a_part_of_a_module_of_the_users(tmp_path):
    words = ("probe", "probed_module:instance", "--length", "6", "--vocabulary", "9", "--at", "layers.1")
    ended = globalconv(*words, "--out", tmp_path / "found")
    assert ended.code == 0, ended
    printed = " ".join(ended.out.split())
    assert "Exactly 1 token acts jointly" in printed
    assert "Content-independent" in printed


def trained(runs: Path) -> Path:
    """The directory of a run of two steps."""
    task = build_task("recall", {"vocabulary": 16, "length": 16, "num_pairs": 2, "num_validation": 8})
    spec = RunSpec(
        task=TaskChoice(name="recall", kind="recall", options=task.options, digest=task.digest),
        arm="hybrid",
        model=ModelSpec(mixers=("global_conv", "attention"), mixer_options={}, width=8, mlp_width=8),
        training=TrainingSettings(steps=2, batch_size=4, learning_rate=0.01, evaluations=1),
        seed=0,
        purpose="sweep",
        device="cpu",
    )
    assert execute_run(spec, runs) == "finished"
    return runs / spec.name


def test_a_trained_run(tmp_path):
    run = trained(tmp_path / "runs")
    before = {path: path.read_bytes() for path in run.iterdir()}
    ended = globalconv("probe", run, "--limit", "4", "--out", tmp_path / "found")
    assert ended.code == 0, ended
    record = read(tmp_path / "found")
    assert "hybrid trained on recall" in record["what"]
    assert record["inputs"] == [4, 16]
    assert set(record["results"]) | set(record["not_asked"]) == set(PROBES)
    assert {path: path.read_bytes() for path in run.iterdir()} == before
    (contents,) = record["content_dependence_of_mixers"].values()
    conv, attention = (content["share"] for content in contents)
    assert conv < 1e-14 < attention
    pictures(tmp_path / "found")


def trained_on_pairs(runs: Path) -> Path:
    """The directory of a run of two steps that reverses five symbols."""
    task = build_task("reverse", {"length": 5, "num_validation": 8, "num_test": 8})
    decoder = DecoderSpec(
        mixers=("attention", "global_conv"), cross="aligned_conv", heads=2, design="original", dropout=0.1
    )
    spec = RunSpec(
        task=TaskChoice(name="reverse", kind="reverse", options=task.options, digest=task.digest),
        arm="mine",
        model=ModelSpec(mixers=("global_conv",) * 2, mixer_options={}, width=8, mlp_width=8, decoder=decoder),
        training=TrainingSettings(steps=2, batch_size=4, learning_rate=0.01, evaluations=1),
        seed=0,
        purpose="sweep",
        device="cpu",
    )
    assert execute_run(spec, runs) == "finished"
    return runs / spec.name


def test_a_run_of_an_encoder_decoder(tmp_path):
    run = trained_on_pairs(tmp_path / "runs")
    ended = globalconv("probe", run, "--limit", "4", "--out", tmp_path / "found")
    assert ended.code == 0, ended
    record = read(tmp_path / "found")
    assert "mine trained on reverse" in record["what"]
    assert "6 tokens of the source, then 6 of the target" in record["what"]
    assert record["inputs"] == [4, 12, 8]
    assert set(record["not_asked"]) == {"shifts", "permutations", "positions"}
    assert record["results"]["causality"]["line"].startswith("Causal")
    influence = torch.tensor(record["results"]["influence"]["strength"])
    assert not influence[:6].any(), "nothing is said at the source's places"
    assert (influence[6:, :6] > 0).all()
    assert not influence[6:, 6:].triu(1).any()
    (contents,) = record["content_dependence_of_mixers"].values()
    encoder, decoder, cross = contents[:2], contents[2:4], contents[4:]
    assert all(content["share"] < 1e-14 for content in (*encoder, decoder[1]))
    assert decoder[0]["share"] > 1e-9
    assert [content["share"] > 1e-6 for content in cross] == [True, True]
    (orders,) = record["interaction_order_by_depth"].values()
    assert list(orders) == ["1", "2", "3", "4"]
    pictures(tmp_path / "found")


@pytest.mark.usefixtures("no_pictures")
def test_a_part_of_an_encoder_decoder(tmp_path):
    run = trained_on_pairs(tmp_path / "runs")
    part = ("probe", run, "--limit", "4", "--at", "model.encoder.blocks.0.mixer", "--out")
    ended = globalconv(*part, tmp_path / "found")
    assert ended.code == 0, ended
    assert "Equivariant to circular shifts" in " ".join(ended.out.split())
    # It goes from the model's input to the part, which has the source's tokens only.
    assert set(read(tmp_path / "found")["not_asked"]) == {"reach"}
    short = globalconv("probe", run, "--length", "5", "--out", tmp_path / "no")
    assert short.code == 2
    assert "a source cannot be cut" in short.err
    assert not (tmp_path / "no").exists()


def test_of_a_causal_run_the_first_tokens_are_looked_at(tmp_path):
    run = trained(tmp_path / "runs")
    whole = find_target(ProbeRequest(str(run)))
    few = find_target(ProbeRequest(str(run), length=5))
    assert torch.equal(few.inputs, whole.inputs[:, :5])
    assert "the first 5 tokens" in few.what


def test_the_weights_are_the_trained_ones(tmp_path):
    run = trained(tmp_path / "runs")
    target = find_target(ProbeRequest(str(run)))
    kept = load_file(run / "best.safetensors")
    found = target.model.state_dict()
    assert all(torch.equal(found[name.removeprefix("model.")], tensor) for name, tensor in kept.items())
    assert len(kept) == len(found)


def test_a_damaged_run_is_refused(tmp_path):
    run = trained(tmp_path / "runs")
    (run / "best.safetensors").write_bytes(b"no weights")
    assert "cannot be used" in globalconv("probe", run, "--out", tmp_path / "no").err
    (run / "spec.json").write_text("{}")
    assert "spec.json cannot be read" in globalconv("probe", run, "--out", tmp_path / "no").err
    assert not (tmp_path / "no").exists()


MISTAKES = {
    "global_con": "Did you mean 'global_conv'?",
    "no/such/run": "there is no directory",
    "{tmp}": "not the directory of a run with weights",
    "global_conv --vocabulary 5": "--vocabulary does not apply to a mixer",
    "global_conv --at blocks.0": "--at does not apply to a mixer",
    "{tmp} --depth 3": "--depth does not apply to a run",
    "{tmp} --bare": "--bare does not apply to a run",
    "probed_module:values --length 4 --width 4 --positions none": "--positions does not apply to your own module",
    "global_conv --positions non": "Did you mean 'none'?",
    "global_conv --seed 99999999999999999999": "--seed 99999999999999999999: give at most",
    "global_conv --memory inf": "--memory inf: give at most",
    "global_conv --memory nan": "--memory nan: give at least",
    "global_conv --width 99999999999": "--width 99999999999: give at most",
    "global_conv --width 10000000": "the longest inputs that --memory holds",
    "attention --width 100000": "of weights, but --memory is",
    "token_mlp --length 100000": "of weights, but --memory is",
    "global_conv --length 99999999999999999999": "--length 99999999999999999999: give at most",
    "global_conv --length 10000000": "the longest inputs that --memory holds",
    "global_conv --length 20000": "a map of all pairs of 20000 tokens needs",
    "probed_module:instance --length 4 --vocabulary 99999999999": "--vocabulary 99999999999: give at most",
    "global_conv --depth 99999999999999999999": "--depth",
    "global_conv --length 32 --width 8 --budget 1s": "a larger --budget",
    "token_mlp --causal": "cannot be causal",
    "attention --width 6": "not divisible by 4 heads",
    "global_conv --device cuda9": "unknown --device",
    "no_such_module:thing": "cannot load",
    "probed_module:thing": "cannot load",
    "probed_module:number --length 4 --width 4": "Give a torch.nn.Module",
    "probed_module:broken --length 4 --width 4": "calling it without arguments failed",
    "probed_module:nothing --length 4 --width 4": "returns a NoneType",
    "probed_module:values": "--length and --width for values",
    "probed_module:values --length 4 --width 4 --vocabulary 4": "--length and --width for values",
    "probed_module:values --length 4 --width 4 --depth 2": "--depth does not apply to your own module",
    "probed_module:values --length 4 --width 5": "cannot be called with one tensor",
    "probed_module:values --length 4 --width 4 --at 7": "unknown submodule '7'",
    "probed_module:Noisy --length 4 --width 4": "it is random",
    "probed_module:instance --length 4 --width 6": "cannot be called with one tensor",
    "attention --length 2048 --memory 0.1": "memory limit of 100 MB: length 128 would fit",
}


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_end_in_one_line_before_anything_is_written(words, tmp_path):
    out = tmp_path / "found"
    ended = globalconv("probe", *words.format(tmp=tmp_path).split(), "--out", out)
    assert ended.code == 2, ended
    assert MISTAKES[words] in ended.err
    assert ended.err.startswith("Error: ")
    assert not out.exists()


@pytest.mark.usefixtures("module", "no_pictures")
def test_the_seed_draws_the_weights_of_the_users_model(tmp_path):
    def found(seed: int) -> dict:
        sys.modules.pop("probed_module", None)  # a new process would load it anew
        words = ("--length", "4", "--vocabulary", "9", "--limit", "2", "--seed", str(seed))
        assert globalconv("probe", "probed_module:build", *words, "--out", tmp_path).code == 0
        return read(tmp_path)["results"]

    before = torch.get_rng_state()
    first = found(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert found(1) == first
    assert found(2) != first


@pytest.mark.usefixtures("no_pictures")
def test_a_bare_mixer_is_probed_alone(tmp_path):
    words = ("--bare", "--depth", "1", "--length", "8", "--width", "8", "--limit", "4", "--out", tmp_path)
    ended = globalconv("probe", "global_conv", *words)
    printed = " ".join(ended.out.split())
    assert "1 untrained layer of global_conv alone" in printed
    for line in ("No two tokens interact", "Exactly 1 token acts jointly", "Equivariant to circular shifts"):
        assert line in printed
    ended = globalconv("probe", "attention", *words, "--positions", "none")
    assert "Equivariant to permutations of the tokens" in " ".join(ended.out.split())


def test_what_would_take_too_long_is_refused_with_the_length_that_would_not(monkeypatch, tmp_path):
    seconds = {16: 400.0, 8: 90.0, 4: 10.0}
    monkeypatch.setattr(
        "globalconv.probing.run.questions",
        lambda target, _: iter([Question("all", seconds[target.inputs.shape[1]], lambda *_: None)]),
    )
    for budget, length in (("5m", 8), ("80s", 4)):
        ended = globalconv("probe", "global_conv", "--budget", budget, "--out", tmp_path / "no")
        assert ended.code == 2
        assert f"Give --length {length} (about" in ended.err
    assert not (tmp_path / "no").exists()


def test_the_time_that_is_told_grows_with_the_rows_and_not_before_they_fit():
    pace = Pace({VALUES: (1.0, 0.5), GRADIENT: (2.0, 1.0), SECOND: (3.0, 2.0)}, row_bytes=10, memory=1200)
    assert pace.values(40) == 1.0 + 20.0
    assert pace.gradients(31) == 2 * 2.0 + 31.0
    assert pace.second_derivatives(30) == 3 * 3.0 + 60.0


def test_the_pace_is_measured_as_the_clock_goes(monkeypatch):
    """A model that sleeps for so long for each row, and for each call."""
    call, row = 0.01, 0.004

    class Slow(nn.Module):
        def forward(self, x):
            time.sleep(call + row * len(x))
            return x * x

    monkeypatch.setattr(time, "process_time", time.perf_counter)
    pace = pace_of(subject_of(Slow(), torch.randn(2, 3, 4)))
    assert pace.values(100) > 0.9 * (call + 100 * row)


def test_a_bare_stack_is_mixers_and_squares_up_to_a_constant(seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 6, 3)
    mixers = [GlobalConv(3, 6, init="flat") for _ in range(3)]
    stack = BareStack(mixers, torch.square, x)
    expected = mixers[2](mixers[1](mixers[0](x).square()).square())
    ratio = stack(x) / expected
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)
    assert stack(x).square().mean().item() == pytest.approx(1, rel=1e-4)
    assert interaction_order(stack, x).order == 4
