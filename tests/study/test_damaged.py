"""Files of a study that were edited, cut short, or are another's: told in words, or done again; never a traceback."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from globalconv.study.runs import execute
from tests.study.small_studies import FEW, Ended, globalconv, prose, report_of, runs_of

pytestmark = pytest.mark.timeout(900)

Damage = Callable[[Path], None]
VALUES: dict[str, Any] = {
    "null": None,
    "words": "words",
    "a digit in quotes": "1",
    "true": True,
    "NaN": float("nan"),
    "endless": float("inf"),
    "huge": 10**400,
    "large": 1e308,
    "negative": -1,
    "a half": 0.5,
    "nothing": 0,
    "an empty list": [],
    "an empty object": {},
}
WHOLE: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"version": 3, "seeds": [',
    "no text": b"\x00\xff\xfe" * 9,
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deeper": b'{"a":' * 100_000,
    "a list": b"[]",
    "an object": b"{}",
}


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A study of two arms and two seeds."""
    text = prose(tmp_path_factory.mktemp("data"))
    arms = ("--arms", "global_conv", "--workers", "1")
    return ["compare", text, "--length", "16", *FEW, *arms]


@pytest.fixture(scope="module")
def recorded(command: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that study lies, finished."""
    out = tmp_path_factory.mktemp("study") / "out"
    assert globalconv(*command, "--out", out).code == 0
    return out


@pytest.fixture
def out(recorded: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(recorded, tmp_path / "out"))


def places(value: Any, *above: str | int) -> Iterator[tuple[str | int, ...]]:
    """The way to every field, into the first and the last of a list's elements."""
    if above:
        yield above
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, *above, name)
    if isinstance(value, list) and value:
        for index in {0, len(value) - 1}:
            yield from places(value[index], *above, index)


def changed(value: Any, place: tuple[str | int, ...], *new: Any) -> Any:
    """The same with another value at ``place``, or with none."""
    copy = json.loads(json.dumps(value))
    at = copy
    for key in place[:-1]:
        at = at[key]
    if new:
        at[place[-1]] = new[0]
    else:
        del at[place[-1]]
    return copy


def damages(file: Path) -> Iterator[tuple[str, bytes]]:
    """(what was done to it, what the file then holds)."""
    whole = file.read_bytes()
    yield from WHOLE.items()
    yield "half", whole[: len(whole) // 2]
    if file.suffix == ".jsonl":
        lines = [json.loads(line) for line in whole.splitlines()]
        for place in places(lines[-1]):
            for name, value in VALUES.items():
                text = "".join(
                    json.dumps(line) + "\n" for line in [*lines[:-1], changed(lines[-1], place, value)]
                )
                yield f"{'.'.join(map(str, place))}: {name}", text.encode()
        return
    content = json.loads(whole)
    for place in places(content):
        where = ".".join(map(str, place))
        for name, value in VALUES.items():
            yield f"{where}: {name}", json.dumps(changed(content, place, value)).encode()
        yield f"{where}: missing", json.dumps(changed(content, place)).encode()
    if isinstance(content, dict):
        yield "another version's field", json.dumps(content | {"newer": 1}).encode()


def assert_told_or_done(ended: Ended, what: str) -> None:
    """Either all went well, or one line says what is wrong. (What escapes is raised here.)"""
    lines = ended.err.strip().splitlines()
    assert ended.code == 0 or (ended.code == 2 and len(lines) == 1 and lines[0].startswith("Error: ")), (
        what,
        ended,
    )


FILES = (
    "plan.json",
    "state.json",
    "cost.json",
    *(
        f"runs/{name}"
        for name in ("spec.json", "environment.json", "result.json", "curve.jsonl", "inside.json")
    ),
)


def damaged_file(out: Path, name: str) -> Path:
    """The file, of a run the one that was looked inside of."""
    if not name.startswith("runs/"):
        return out / name
    (run, *_) = sorted(file.parent for file in out.glob("runs/*/inside.json"))
    return run / Path(name).name


def some(file: Path, most: int, seed: int) -> list[tuple[str, bytes]]:
    """So many damages, others with another seed."""
    every = list(damages(file))
    return random.Random(seed).sample(every, min(most, len(every)))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("most", [16, pytest.param(10**9, marks=pytest.mark.slow)])
def test_a_report_is_made_of_what_is_sound(name: str, most: int, out: Path, seed: int) -> None:
    """Every field of every file, in fourteen ways."""
    file = damaged_file(out, name)
    told = 0
    for what, content in some(file, most, seed):
        file.write_bytes(content)
        ended = globalconv("report", out)
        assert_told_or_done(ended, f"{name}, {what}")
        told += ended.code == 2 or bool(report_of(out)["failures"])
    assert told > 3, "most of it is noticed"


@pytest.mark.parametrize("name", FILES)
def test_a_study_goes_on_from_what_is_sound(
    name: str, out: Path, command: list[str | Path], seed: int
) -> None:
    """What is broken is done again, and said; or, of the plan, refused."""
    file = damaged_file(out, name)
    sound = file.read_bytes()
    for what, content in some(file, 4, seed):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        ended = globalconv(*command, "--out", out)
        assert_told_or_done(ended, f"{name}, {what}")
        if name == "plan.json":
            assert ended.code == 2 or json.loads(content) == json.loads(sound), what
        else:
            assert ended.code == 0, (what, ended.err)
            assert globalconv("report", out).code == 0
            assert report_of(out)["unfinished"] is None


def test_a_plan_that_was_edited_trains_nothing(out: Path, command: list[str | Path]) -> None:
    """Also where every field is in range: a digit too much in the steps would train for days."""
    plan = json.loads((out / "plan.json").read_text())
    edited = changed(plan, ("tasks", 0, "arms", 1, "steps"), 4_000_000)
    (out / "plan.json").write_text(json.dumps(edited))
    ended = globalconv(*command, "--out", out)
    assert ended.code == 2
    assert "plan.json was changed" in ended.err
    assert globalconv("report", out).code == 0


def other_shapes(file: Path) -> None:
    name, *_ = load_file(file)
    save_file({name: torch.zeros(3, 3)}, file, metadata={"facts": "{}"})


def no_pickles(file: Path) -> None:
    torch.save({"a": torch.zeros(2)}, file)


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


WEIGHTS: dict[str, Damage] = {
    "shapes": other_shapes,
    "pickle": no_pickles,
    "pipe": a_pipe,
    "directory": a_directory,
    "empty": lambda file: file.write_bytes(b"") and None,
    "facts": lambda file: save_file(load_file(file), file, metadata={"facts": "[]"}),
}


@pytest.mark.parametrize("damage", WEIGHTS)
def test_weights_that_are_not_the_models_are_trained_again(
    damage: str, out: Path, command: list[str | Path]
) -> None:
    run = damaged_file(out, "runs/inside.json").parent
    before = json.loads((run / "result.json").read_text())
    (run / "inside.json").unlink()
    WEIGHTS[damage](run / "best.safetensors")
    ended = globalconv(*command, "--out", out)
    assert ended.code == 0, ended.err
    assert "Broken run: " in ended.out
    assert "best.safetensors" in ended.out
    assert json.loads((run / "result.json").read_text())["test"] == before["test"]


@pytest.mark.parametrize(
    "name", ["plan.json", "state.json", "cost.json", "runs/result.json", "runs/curve.jsonl"]
)
def test_a_pipe_in_a_files_place_is_not_waited_for(name: str, out: Path, command: list[str | Path]) -> None:
    a_pipe(damaged_file(out, name))
    for arguments in (["report", out], [*command, "--out", out]):
        assert_told_or_done(globalconv(*arguments), name)


def test_what_is_broken_again_as_soon_as_it_was_written_ends_the_study(
    tmp_path: Path, command: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses bytes must not have a sweep go on for ever."""
    train = execute.execute_run

    def lose(spec: Any, runs: Path) -> str:
        status = train(spec, runs)
        (runs / spec.name / "best.safetensors").write_bytes(b"")
        return status

    monkeypatch.setattr("globalconv.study.session.execute_run", lose)
    swept = [part for part in command if part != "--no-sweep"]
    ended = globalconv(*swept, "--sweep", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "disk" in ended.err


@pytest.mark.parametrize("purpose", ["final", "sweep"])
def test_a_complete_study_that_lost_a_run_is_unfinished_again(
    purpose: str, out: Path, command: list[str | Path]
) -> None:
    if purpose == "sweep":
        out = out.with_name("swept")
        command = [part for part in command if part != "--no-sweep"] + ["--sweep"]
        assert globalconv(*command, "--out", out).code == 0
    whole = report_of(out)
    shutil.rmtree(runs_of(out, purpose=purpose)[0].path)
    ended = globalconv("report", out)
    assert ended.code == 0
    assert "Unfinished: " in ended.out
    report = report_of(out)
    assert report["unfinished"]
    assert "unfinished" in report["tasks"][0]["sentence"]
    ended = globalconv(*command, "--out", out)
    assert "goes on" in ended.out
    assert report_of(out)["unfinished"] is None
    assert report_of(out)["tasks"][0]["verdict"] == whole["tasks"][0]["verdict"]
