"""`globalconv generate` as a user meets it: the text, the notes about it, and mistakes."""

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from globalconv.decoding import stream
from globalconv.errors import InputError
from globalconv.inference.generation import GenerateRequest, run_generate
from globalconv.inference.text_writer import TextWriter
from globalconv.study.runs.execute import execute_run
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.study.spec import ModelSpec, RunSpec, TaskChoice
from globalconv.tasks import build_task
from globalconv.tasks.text import byte_signature
from globalconv.training.settings import TrainingSettings
from tests.study.small_studies import globalconv
from tests.tasks.examples import write_prose

LENGTH = 32


def trained(
    folder: Path, *, kind: str = "text", mixers=("gated_conv", "attention"), options=None, **also
) -> Path:
    """The directory of a run of a few steps."""
    if kind == "recall":
        options = {"vocabulary": 16, "length": 16, "num_pairs": 2, "num_validation": 8}
    elif kind == "text":
        prose = write_prose(folder / "prose.txt", np.random.default_rng(0), 8_000)
        options = {"path": str(prose), "length": LENGTH}
    task = build_task(kind, options)
    spec = RunSpec(
        task=TaskChoice(name=task.name, kind=kind, options=task.options, digest=task.digest),
        arm="hybrid",
        model=ModelSpec(mixers=mixers, mixer_options={}, width=8, mlp_width=8),
        training=TrainingSettings(steps=20, batch_size=4, learning_rate=0.01, evaluations=1),
        seed=0,
        **{"purpose": "sweep", "device": "cpu"} | also,
    )
    assert execute_run(spec, folder / "runs") == "finished"
    return folder / "runs" / spec.name


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generate")
    run = trained(folder)
    (folder / "prose.txt").unlink()  # what it was trained on is not needed any more
    return run


def generated(run: Path, prompt: str = "the ", **options):
    out, notes = io.StringIO(), io.StringIO()
    result = run_generate(GenerateRequest(run, prompt, **options), out, notes=Console(file=notes, width=1000))
    return result, out.getvalue(), notes.getvalue()


def test_the_likeliest_bytes_are_those_of_the_whole_model(run):
    result, out, _ = generated(run, tokens=20, temperature=0)
    spec = read_spec(run)
    model = load_model(run, spec.model, byte_signature(LENGTH))
    tokens = list(b"the ")
    for _ in range(20):
        with torch.no_grad():
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    assert result.content == bytes(tokens[4:])
    assert out.startswith("the ")
    assert out.endswith("\n")


def test_the_command_streams_and_says_how_fast(run):
    ended = globalconv("generate", run, "--prompt", "the ", "--tokens", "12", "--seed", "3")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("the ")
    assert "12 tokens in" in ended.err
    assert "tokens/s" in ended.err
    assert globalconv("generate", run, "--prompt", "the ", "--tokens", "12", "--seed", "3").out == ended.out
    others = {globalconv("generate", run, "--prompt", "the ", "--seed", seed).out for seed in (3, 4, 5)}
    assert len(others) == 3


def test_top_1_is_the_likeliest(run):
    assert generated(run, top_k=1)[0].content == generated(run, temperature=0)[0].content


def test_a_text_longer_than_the_training_says_so(run):
    result, _, notes = generated(run, tokens=3 * LENGTH)
    assert len(result.content) == 3 * LENGTH
    assert "trained on 32" in notes
    assert "Note" not in generated(run, tokens=4)[2]


def test_bytes_that_are_no_text_are_shown_as_such_and_counted(run, monkeypatch):
    monkeypatch.setattr(
        "globalconv.inference.generation.stream",
        lambda *_: iter(torch.tensor([[b]]) for b in b"a\xff\xc3\xa9\x1b[0mb\xc3"),
    )
    result, out, notes = generated(run, tokens=100)
    assert out == "the a\N{REPLACEMENT CHARACTER}é\N{REPLACEMENT CHARACTER}[0mb\N{REPLACEMENT CHARACTER}\n"
    assert result.undecodable == 2
    assert "2 of the bytes are not valid UTF-8" in notes


def test_a_prompt_of_any_bytes(run):
    result, out, _ = generated(run, "\udcff\u00e9", tokens=3, temperature=0)
    assert out.startswith("\N{REPLACEMENT CHARACTER}é")
    assert len(result.content) == 3


def test_a_terminal_without_the_characters_gets_others():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    writer = TextWriter(out)
    writer.write("é".encode())
    writer.end()
    assert raw.getvalue() == b"?\n"


def test_ctrl_c_keeps_what_was_written(run, monkeypatch):
    def interrupted(*given):
        for number, token in enumerate(stream(*given)):
            if number == 3:
                raise KeyboardInterrupt
            yield token

    monkeypatch.setattr("globalconv.inference.generation.stream", interrupted)
    ended = globalconv("generate", run, "--prompt", "the ")
    assert ended.code == 130
    assert "3 tokens in" in ended.err
    assert "Interrupted" in ended.err


def test_a_reader_who_leaves_ends_it_quietly(run):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        result = run_generate(GenerateRequest(run, "the "), out, notes=Console(file=io.StringIO()))
    assert result.ended == "interrupted"
    assert result.content == b""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--prompt", ""), "--prompt is empty"),
        (("--prompt", "a", "--tokens", "0"), "--tokens 0: give at least 1"),
        (("--prompt", "a", "--tokens", "1000000000000"), "give at most 1000000000"),
        (("--prompt", "a", "--tokens", "1000000000"), "the decoding state would need"),
        (("--prompt", "a", "--seed", "99999999999999999999"), "--seed 99999999999999999999: give at most"),
        (
            ("--prompt", "a", "--temperature", "-1"),
            "--temperature -1.0: give 0 (greedy decoding) or more",
        ),
        (("--prompt", "a", "--temperature", "nan"), "--temperature nan: give 0"),
        (("--prompt", "a", "--temperature", "inf"), "--temperature inf: give 0"),
        (("--prompt", "a", "--top-k", "0"), "--top-k 0: give at least 1, or leave it out"),
        (("--prompt", "a", "--top-k", "3", "--temperature", "0"), "--top-k"),
    ],
)
def test_options_that_cannot_be_used(run, options, says):
    ended = globalconv("generate", run, *options)
    assert ended.code == 2
    assert says in ended.err
    assert ended.out == ""


def test_as_many_tokens_as_fit_are_named_and_fit(run, monkeypatch):
    monkeypatch.setattr("globalconv.inference.generation.device_memory", lambda _: 200_000)
    with pytest.raises(InputError, match="give at most") as refused:
        generated(run, tokens=100_000)
    most = int(re.search(r"at most (\d+)", str(refused.value))[1])
    with pytest.raises(InputError, match="give at most"):
        generated(run, tokens=most + 100)
    monkeypatch.setattr("globalconv.inference.generation.stream", lambda *_: iter(()))
    assert most > 4 * LENGTH
    assert generated(run, tokens=most)[0].content == b""


def test_what_is_no_language_model_of_text(tmp_path, run):
    recall = trained(tmp_path, kind="recall", mixers=("global_conv",))
    ended = globalconv("generate", recall, "--prompt", "a")
    assert ended.code == 2
    assert "trained on recall" in ended.err
    ended = globalconv("generate", tmp_path, "--prompt", "a")
    assert ended.code == 2
    assert "spec.json" in ended.err
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "best.safetensors").write_bytes(b"not weights")
    ended = globalconv("generate", broken, "--prompt", "a")
    assert ended.code == 2
    assert "weights" in ended.err
    spec = json.loads((broken / "spec.json").read_text())
    (broken / "spec.json").write_text(json.dumps(spec | {"arm": 3}))
    assert "spec.json" in globalconv("generate", broken, "--prompt", "a").err


def test_a_studys_directory_is_answered_with_its_final_runs_on_text(tmp_path):
    study = tmp_path / "my study"
    study.mkdir()
    text = trained(study, purpose="final")
    trained(study, mixers=("attention", "attention"))  # a sweep's
    recall = trained(study, kind="recall", mixers=("global_conv",), purpose="final")
    shutil.copytree(text, text.with_name(f"{text.name}.broken-1"))
    assert "runs/." in globalconv("generate", study, "--prompt", "a").err  # of no study, as far as is known
    (study / "plan.json").write_text("{}")
    for given in (study, study / "runs"):
        ended = globalconv("generate", given, "--prompt", "a")
        assert ended.code == 2
        first, *runs = ended.err.strip().splitlines()
        assert first.endswith("final runs on text:")
        assert runs == [f"  '{text}'  hybrid on prose.txt, seed 0"]
    probed = globalconv("probe", study, "--out", tmp_path / "found").err.strip().splitlines()[1:]
    assert [line.split("'")[1] for line in probed] == [str(text), str(recall)]
    (text / "result.json").unlink()
    assert "no finished final run on text" in globalconv("generate", study, "--prompt", "a").err
    shutil.rmtree(study / "runs")
    message = globalconv("generate", study, "--prompt", "a").err
    assert "only its report was kept" in message
    assert "with another --out" in message


def test_of_many_runs_the_first_few_are_listed(tmp_path):
    run = trained(tmp_path, purpose="final")
    (tmp_path / "plan.json").write_text("{}")
    spec = read_spec(run)
    for seed in range(1, 12):
        other = spec.model_copy(update={"seed": seed})
        shutil.copytree(run, run.with_name(other.name))
        (run.with_name(other.name) / "spec.json").write_text(other.model_dump_json())
    with pytest.raises(InputError) as error:
        read_spec(tmp_path)
    lines = str(error.value).splitlines()
    assert [line.split("seed ")[1] for line in lines[1:-1]] == list("01234567")
    assert lines[-1] == "  and 4 more"
