"""Every command and every snippet of every page: what a reader types works, and shows what the page says.

Here every command is read as the command line reads it, and what takes seconds is run. The rest runs, as it stands,
with `pytest -m slow tests/test_pages.py` (an hour); GLOBALCONV_HOURS=1 adds the studies of an hour and more.
"""

import os
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import create_autospec, patch

import numpy as np
import pytest
import torch

import globalconv as package
from globalconv.mixers import build_mixer
from globalconv.models import LanguageModel, build_encoder_decoder
from globalconv.models.encoder_decoder_designs import SIZES, Size
from globalconv.study.opened import Study
from tests.inference.test_generation import trained
from tests.pages import ROOT, Said, commands, snippets
from tests.study.small_studies import FEW, Ended, brief, globalconv
from tests.tasks.examples import write_prose

pytestmark = pytest.mark.skipif(
    not (ROOT / "studies").exists(), reason="README and studies/ are not all here (an sdist)"
)

COMMANDS = list({said.command: said for said in commands()}.values())
OURS = [said for said in COMMANDS if said.words[0] == "globalconv"]
WITH_OPTIONS = [
    said for said in OURS if len(said.words) > 2 or said.words[1] not in ("generate", "predict", "probe")
]
RUNNERS = {
    "compare": "globalconv.study.run.run_study",
    "report": "globalconv.study.run.rebuild_report",
    "backends": "globalconv.ops.choose_backend",
    "mixers": "globalconv.commands.ladder_tables.description",
    "bench": "globalconv.measure.bench.run.run_bench",
    "probe": "globalconv.probing.run.run_probe",
    "generate": "globalconv.inference.generation.run_generate",
    "predict": "globalconv.inference.prediction_file.run_predict",
    "cost": "globalconv.measure.cost.run.run_cost",
}
FAST = (
    "globalconv backends",
    "globalconv probe global_conv --bare --depth 1",
    "globalconv probe attention --bare --positions none",
    "globalconv probe token_mlp --bare --depth 1",
    'globalconv generate RUN_DIR --prompt "def "',
    'globalconv generate RUN_DIR --prompt "..."',
    "globalconv predict RUN_DIR new.npz",
)
EVERYWHERE = "100% of all pairs"
SHOWN = {
    "globalconv backends": ["fused_cpu", "chosen"],
    "globalconv probe global_conv": [
        "4 untrained blocks",
        "Content dependence of a mixer alone: global_conv 0;",
    ],
    "globalconv probe global_conv --depth 4": ["4 untrained blocks"],
    "globalconv probe global_conv --depth 5": ["1, 2, 4, 8, 10+"],
    "globalconv probe token_mlp": ["attention 0.34", "global conv 0", "gated conv 0.97", "token mlp 0.33"],
    "globalconv probe global_conv --bare": [
        "equivariant to circular shifts of the tokens, up to rounding (8 tried)"
    ],
    "globalconv probe attention --bare --positions none": [
        "equivariant to permutations of the tokens, up to rounding (8 tried)"
    ],
    "globalconv probe token_mlp --bare --depth 1": [
        "not equivariant to circular shifts of the tokens: an output differs by 1.5 of the outputs' spread"
    ],
    "globalconv probe global_conv --bare --depth 1": [
        EVERYWHERE,
        "No two tokens interact",
        "exactly 1 token acts jointly: in each of 4 draws no two tokens interact",
    ],
    "globalconv probe attention --bare --depth 1": [EVERYWHERE, "at least 10 tokens act jointly"],
    "globalconv probe gated_conv --bare --depth 1": [
        "exactly 2 tokens act jointly: in each of 4 draws no 3 do"
    ],
    "globalconv probe global_conv --bare --depth 2": [
        "100% of all pairs of tokens interact, up to 15 apart (second derivatives, 8 samples, total to 6%)"
    ],
    "globalconv predict RUN_DIR new.npz": ["600 rows of new.npz, predicted", "balanced accuracy"],
    "globalconv cost": ["fused cpu, ms"],
    "globalconv cost --decode": ["decoding, one token"],
    "globalconv cost --widths 64 --lengths 64:16384": ["spectral, ms", "1.11"],
    "globalconv bench": ["x roofline", "error"],
}
"""Of each command what it must print, capitals, underscores and line ends apart."""
ELSEWHERE = {
    "pip install .": "what .ci/run does, with its extras",
    "pytest": "this",
    "pytest -m slow": "this, and the rest of the slow tests",
    "pytest --device cuda": "wherever a GPU is at hand",
    "python benchmarks/gpu.py": "wherever a GPU is at hand",
    "ruff format .": ".ci/run",
    "ruff check .": ".ci/run",
    "mypy": ".ci/run",
    "lint-imports": ".ci/run",
    "python studies/claims.py": "tests/test_claims.py",
    "python docs/floors.py": "tests/test_architecture.py",
    "python benchmarks/operator_cpu.py": "tests/measure, from its records",
}
OTHERS = [said for said in COMMANDS if said not in OURS]


def ids(said: Said) -> str:
    return f"{said.page}: {said.command}"[:90]


@pytest.mark.parametrize("said", OURS, ids=ids)
def test_every_command_is_one_that_the_command_line_reads(said, tmp_path, monkeypatch):
    """The options exist, and their values have the right form; nothing is run."""
    monkeypatch.chdir(tmp_path)
    write_options(tmp_path)
    subject = said.words[1] if len(said.words) > 1 else ""
    assert subject in RUNNERS, said
    with ExitStack() as patched:
        for runner in RUNNERS.values():
            patched.enter_context(patch(runner))
        ended = globalconv(*said.words[1:])
    # In a sentence a command may be named without what it needs.
    assert ended.code == 0 or said not in WITH_OPTIONS, ended
    assert "Error" not in ended.err or "Missing" in ended.err, ended


def test_every_other_command_is_run_elsewhere():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for said in OTHERS:
        if said.words[:2] == ["pip", "install"]:
            named = re.findall(r"\[(\w+)\]", said.words[-1])
            assert said.words[-1].partition("[")[0] in (".", "globalconv")
            assert set(named) <= extras, said
        else:
            assert said.command in ELSEWHERE or said.words[:2] == ["python", "-c"], said
    ours = (ROOT / ".ci" / "run").read_text()
    assert all(
        command.removesuffix(" .") in ours for command, where in ELSEWHERE.items() if where == ".ci/run"
    )


def test_what_is_expected_is_of_commands_that_the_pages_have():
    known = {said.command for said in OURS}
    assert set(SHOWN) <= known
    assert set(FAST) <= known


def write_options(folder: Path) -> None:
    """The file of options that a page shows."""
    (folder / "study.toml").write_text('tasks = ["digits"]\nseeds = 2\n')


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder with the files that the pages name, and code that can be imported from it."""
    write_options(tmp_path)
    generator = np.random.default_rng(0)
    write_prose(tmp_path / "notes.txt", generator, 60_000)
    classes = generator.integers(0, 3, 600)
    waves = generator.normal(size=(600, 64, 2)) + np.sin(
        np.arange(64)[:, None] * (1 + classes[:, None, None])
    )
    for name in ("ecg.npz", "new.npz"):
        np.savez(tmp_path / name, X=waves.astype(np.float32), y=classes)
    rows = [
        f"{','.join(f'{v:.3f}' for v in wave[:, 0])},{'abc'[c]}"
        for wave, c in zip(waves, classes, strict=True)
    ]
    header = ",".join(f"d{n}" for n in range(64)) + ",formation"
    (tmp_path / "wells.csv").write_text("\n".join([header, *rows]) + "\n")
    (tmp_path / "beats.csv").write_text(
        "\n".join(
            [
                f"patient,{header.replace('formation', 'kind')}",
                *(f"p{n // 9},{r}" for n, r in enumerate(rows)),
            ]
        )
    )
    for name, part in (("train", rows[:400]), ("dev", rows[400:500]), ("test", rows[500:])):
        (tmp_path / f"{name}.csv").write_text("\n".join([header.replace("formation", "kind"), *part]))
    numbers = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    pairs = [(" ".join(words), " ".join(reversed(words))) for words in generator.choice(numbers, (3_000, 4))]
    (tmp_path / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    (tmp_path / "en.txt").write_text("".join(f"{source}\n" for source, _ in pairs))
    (tmp_path / "fr.txt").write_text("".join(f"{target}\n" for _, target in pairs))
    mixer, own_filter = [body for page, body in snippets() if page == "CONTRIBUTING.md"]
    (tmp_path / "my_mixer.py").write_text(f"{mixer}\n\nMyMixer = MovingAverage\n")
    (tmp_path / "my_filter.py").write_text(own_filter)
    (tmp_path / "my_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of workers
    for name in ("my_mixer", "my_filter", "my_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


MODULE = """
from torch import nn

class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x):
        return x + self.layer[0](x).tanh().mean(dim=1, keepdim=True)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(256, 8), Layer()

    def forward(self, tokens):
        return self.encoder(self.embed(tokens))

def build():
    return Model()
"""


def run(said: Said, folder: Path) -> Ended:
    """The command as it stands, with a run and a study in the places that the page leaves open."""
    words = said.words[1:]
    if {"RUN_DIR", "globalconv-studies/DIR/runs/HASH"} & set(words):
        table = {"kind": "table", "options": {"path": str(folder / "ecg.npz")}}
        trained_run = str(trained(folder, **table if words[0] == "predict" else {}))
        words = [trained_run if "RUN" in word or "HASH" in word else word for word in words]
    if "DIR" in words:
        assert (
            globalconv("compare", "digits", *FEW, "--arms", "global_conv", "--out", folder / "study").code
            == 0
        )
        words = [str(folder / "study") if word == "DIR" else word for word in words]
    return globalconv(*("spectral" if word == "NAME" else word for word in words))


def plain(text: str) -> str:
    """Without what differs between a page and a terminal."""
    return " ".join(text.replace("_", " ").split()).lower()


def shows(said: Said, ended: Ended) -> None:
    """The command worked, and printed what is expected of it."""
    assert ended.code == 0, ended
    for phrase in SHOWN.get(said.command, ()):
        assert plain(phrase) in plain(ended.out), ended
    if said.words[1] == "compare":
        assert list(Path().glob("**/report.html")), ended


def test_what_a_claims_command_prints_is_what_the_claim_says():
    """That it prints so is tested where it is run."""
    claims = [said for said in commands() if said.page == "claims.md" and said.section.startswith("## ")]
    assert len(claims) > 12
    for said in claims:
        if said.words[:2] == ["globalconv", "compare"] or said.command.startswith("python"):
            continue  # what is recorded: tests/test_readme.py and tests/test_claims.py
        assert any(plain(phrase) in plain(said.section) for phrase in SHOWN[said.command]), said


@pytest.mark.parametrize("said", [said for said in OURS if said.command in FAST], ids=ids)
def test_a_fast_command_shows_what_its_page_says(said, reader, monkeypatch):
    monkeypatch.setattr("globalconv.probing.pictures.pictures", lambda *_, **__: [])
    shows(said, run(said, reader))


def hours(said: Said) -> bool:
    """Whether it takes an hour or more."""
    return bool(re.search(r"--budget \d+h", said.command))


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("said", [said for said in WITH_OPTIONS if said.command not in FAST], ids=ids)
def test_a_command_shows_what_its_page_says(said, reader):
    if hours(said) and not os.environ.get("GLOBALCONV_HOURS"):
        pytest.skip("an hour or more: set GLOBALCONV_HOURS=1")
    shows(said, run(said, reader))


@pytest.mark.parametrize("said", [said for said in OTHERS if said.words[:2] == ["python", "-c"]], ids=ids)
def test_the_checks_of_a_mixer_and_a_filter_are_those_that_the_guide_names(said, reader):
    subprocess.run([sys.executable, *said.words[1:]], cwd=reader, check=True)


def given(page: str, number: int) -> dict[str, object]:
    """What a page's snippets take for granted."""
    tokens = torch.randint(3, 50, (2, 7))
    if page == "sequence-to-sequence.md":
        return {"source": tokens, "target": tokens, "lengths": torch.tensor([7, 5])}
    if page == "decoding.md" and number == 1:  # a layer of its own
        return {}
    if page == "decoding.md" and number == 0:
        mixers = [build_mixer(name, 8, 64, causal=True) for name in ("attention", "global_conv")]
        return {"model": LanguageModel(16, mixers, mlp_width=8).eval(), "prompt": torch.randint(16, (8, 5))}
    if page == "decoding.md":
        model = build_encoder_decoder(50, 64, Size(16, 2, 2, 16, dropout=0.0)).eval()
        opening = torch.ones(2, dtype=torch.long)
        return {"model": model, "source": tokens, "lengths": torch.tensor([7, 5]), "opening": opening}
    return {}


PYTHON_PAGES = sorted({page for page, _ in snippets()})


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_the_snippets_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_bytes((ROOT / "studies" / "default" / "report.json").read_bytes())
    monkeypatch.setitem(SIZES, "base", Size(16, 2, 2, 16, dropout=0.0))  # it takes a gigabyte
    if page == "README.md":  # whose study takes ten minutes; that of python.md is run
        study = create_autospec(Study, instance=True)
        monkeypatch.setattr(
            package, "compare", create_autospec(package.compare, return_value=study), raising=False
        )
    names: dict[str, object] = {}
    torch.manual_seed(0)
    for number, body in enumerate(body for of, body in snippets() if of == page):
        names |= given(page, number)
        with brief(pictures=True):
            exec(body, names)
    if page != "CONTRIBUTING.md":  # whose mixer is checked above
        SNIPPETS[page](names, capsys.readouterr().out)


def as_many_operations_at_both_lengths(_: dict, out: str) -> None:
    found = [line.split() for line in out.splitlines()]
    assert len(found) == 4
    for (mixer, _, few), (same, _, many) in zip(found[:2], found[2:], strict=True):
        assert mixer == same
        assert few == many


def probed(_: dict, out: str) -> None:
    first, second = out.splitlines()
    assert first.startswith("Exactly 1 token acts jointly: ")
    assert second.startswith("Content-independent: ")


def same_shape(names: dict, _: str) -> None:
    assert names["y"].shape == names["x"].shape


def written(names: dict, _: str) -> None:
    assert names["text"].shape == (8, 200)
    assert len(names["answers"]) == 2
    assert names["fast_state"].numbers() == 16 * 2 * 32
    assert (names["error"] < 0.5).all()


def logits_of_every_token(names: dict, _: str) -> None:
    assert names["logits"].shape == (2, 7, 37000)


def an_answer(names: dict, _: str) -> None:
    assert [task.task for task in names["answer"].tasks] == ["recall", "digits", "text"]


def a_study(names: dict, out: str) -> None:
    assert names["study"].verdicts.keys() == {"arrays.npz"}
    assert len(names["arms"]) == 2
    assert len(names["runs"]) == 4
    assert names["picture"].read_text().startswith("<?xml")
    assert isinstance(names["model"], torch.nn.Module)
    assert names["predictions"].probabilities.shape == (120, 3)


def counted(names: dict, out: str) -> None:
    """Four layers with their gradients take about three times what the mixers declare, and the channel MLPs beside."""
    stack = names["model"].stack
    assert 8 * 3 * stack.flops(4096) == pytest.approx(names["counts"].flops, rel=0.1)
    assert out.split() == [str(n) for n in (names["counts"].flops, names["counts"].moved, names["kept"])]


def a_mixer_by_name(names, printed):
    assert repr(names["mixer"].filter).startswith("S4D(64, 256")


SNIPPETS = {
    "ladder.md": a_mixer_by_name,
    "costs.md": counted,
    "python.md": a_study,
    "claims.md": as_many_operations_at_both_lengths,
    "probes.md": probed,
    "README.md": same_shape,
    "decoding.md": written,
    "sequence-to-sequence.md": logits_of_every_token,
    "report-schema.md": an_answer,
}
