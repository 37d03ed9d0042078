"""A study's directory: whose it is, what cannot be used, and a disk that is full."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from globalconv.errors import InputError
from globalconv.host.atomic_files import write_json
from globalconv.host.devices import resolve_device
from globalconv.study.runs.directory import StudyDirectory
from globalconv.training.checkpoint import BrokenCheckpoint, Checkpoint, load_checkpoint, save_checkpoint
from tests.study.small_studies import FEW, globalconv, prose, report_of, runs_of
from tests.tasks.examples import is_root

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """A study of four runs."""
    text = prose(tmp_path_factory.mktemp("data"))
    return ["compare", text, "--length", "16", *FEW, "--arms", "global_conv", "--workers", "1"]


@pytest.fixture(scope="module")
def out(command: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where that study lies, finished."""
    out = tmp_path_factory.mktemp("study") / "out"
    assert globalconv(*command, "--out", out).code == 0
    return out


@pytest.fixture
def plan(out: Path) -> Any:
    """The file plan.json, put back in order after the test."""
    file = out / "plan.json"
    sound = file.read_bytes()
    yield file
    file.write_bytes(sound)


def refused(*command: str | Path) -> str:
    """What a command says that must be refused before any training, in one line."""
    ended = globalconv(*command)
    assert ended.code == 2
    assert "Training" not in ended.out
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("content", [b"", b"{", b"\x00\xff", b"[]", b'"plan"', b"{}"])
def test_a_broken_plan_is_refused(content: bytes, plan: Path, out: Path, command: list[str | Path]) -> None:
    plan.write_bytes(content)
    for refusal in (refused(*command, "--out", out), refused("report", out)):
        assert "plan" in refusal
        assert "--out" in refusal


def test_a_plan_with_a_field_missing_is_refused(plan: Path, out: Path, command: list[str | Path]) -> None:
    content = json.loads(plan.read_text())
    del content["seeds"]
    plan.write_text(json.dumps(content))
    assert "cannot be read" in refused(*command, "--out", out)


def test_a_study_of_another_device_is_told(out: Path, command: list[str | Path]) -> None:
    """`auto` is one device where a study began and another where it goes on."""
    here = resolve_device("auto")
    there = "cpu" if here == "cuda" else "cuda"
    study = StudyDirectory(out)
    found = study.plan()
    assert found is not None
    assert found.request.device == here
    elsewhere = found.request.model_copy(update={"device": there})
    study.write_plan(found.model_copy(update={"request": elsewhere}))
    assert f"planned on {there}, and this command computes on {here}" in refused(*command, "--out", out)


def test_the_plan_of_another_version_is_refused(plan: Path, out: Path, command: list[str | Path]) -> None:
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"version": 99}))
    for refusal in (refused(*command, "--out", out), refused("report", out)):
        assert "version" in refusal
        assert "99" in refusal


def test_a_lost_plan_is_made_again_and_the_runs_are_used(
    plan: Path, out: Path, command: list[str | Path]
) -> None:
    before = {run.path: (run.path / "result.json").stat().st_mtime_ns for run in runs_of(out)}
    plan.unlink()
    ended = globalconv(*command, "--out", out)
    assert ended.code == 0, ended.err
    assert {run.path: (run.path / "result.json").stat().st_mtime_ns for run in runs_of(out)} == before
    assert report_of(out)["num_runs"] == 4


def test_another_studys_directory_is_refused_with_the_difference(
    out: Path, command: list[str | Path]
) -> None:
    refusal = refused(*command, "--margin", "0.5", "--heads", "4", "--out", out)
    assert "heads" in refusal
    assert "margin" in refusal
    assert "steps" not in refusal.partition("(")[0], "only what differs"
    assert "globalconv compare" in refusal, "the command that goes on with the study there"
    assert "--out" in refusal


def test_one_process_at_a_time(out: Path, command: list[str | Path]) -> None:
    with FileLock(out / ".lock"):
        assert "another globalconv is working" in refused(*command, "--out", out)
        assert globalconv("report", out).code == 0, "reading needs no lock"


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("no flock here")])
def test_a_file_system_without_locks_is_told(error: Exception, tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(InputError, match=r"cannot be locked \(.*\).*--out"), StudyDirectory(tmp_path).lock():
        pass


def test_what_fails_while_the_lock_is_held_is_told_as_it_is(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path)
    with pytest.raises(OSError, match="the work's own"), directory.lock():
        raise OSError("the work's own")
    with directory.lock():
        pass


@pytest.mark.parametrize("place", ["a file", "below a file", "a file named runs"])
def test_a_file_in_the_way_is_refused(place: str, tmp_path: Path, command: list[str | Path]) -> None:
    file = tmp_path / ("runs" if place == "a file named runs" else "file")
    file.write_text("mine")
    where = {"a file": file, "below a file": file / "out", "a file named runs": tmp_path}[place]
    assert "--out" in refused(*command, "--out", where)
    assert file.read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place where nobody may write")
def test_a_place_where_nobody_may_write_is_refused(command: list[str | Path]) -> None:
    assert "--out" in refused(*command, "--out", "/proc/study")


@pytest.mark.skipif(is_root(), reason="root may write anywhere")
def test_a_directory_without_permission_is_refused(tmp_path: Path, command: list[str | Path]) -> None:
    tmp_path.chmod(0o500)
    assert "--out" in refused(*command, "--out", tmp_path)
    tmp_path.chmod(0o700)


def test_what_was_refused_leaves_no_directory(tmp_path: Path, command: list[str | Path]) -> None:
    refused(*command, "--arms", "global_conf", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine.txt").write_text("mine")
    refused(*command, "--arms", "global_conf", "--out", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_directory_without_a_study_has_no_report(tmp_path: Path) -> None:
    assert "no study" in refused("report", tmp_path)
    assert "no study" in refused("report", tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "full_for", ["spec.json", "best.safetensors", "curve.jsonl", "result.json", "state.json", "plan.json"]
)
def test_a_full_disk_ends_the_study_in_words_and_keeps_the_finished_runs(
    full_for: str, tmp_path: Path, command: list[str | Path], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up when the second file of this name is written (of some there is but one)."""
    there = tmp_path / "out"
    disk = FullFor(full_for, after=0 if full_for == "plan.json" else 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", disk)
        ended = globalconv(*command, "--out", there)
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert "disk is full" in line
    assert full_for in line
    assert not list(there.rglob("*.tmp"))
    kept = {run.path.name for run in runs_of(there)}
    assert len(kept) == {"plan.json": 0, "best.safetensors": 0, "state.json": 1}.get(full_for, 1)
    assert globalconv(*command, "--out", there).code == 0
    assert report_of(there)["num_runs"] == 4


class FullFor:
    """In place of os.fsync: no space is left for files of one name, after the first ``after`` of them."""

    def __init__(self, name: str, *, after: int) -> None:
        self.name, self.after = name, after

    def __call__(self, descriptor: int) -> None:
        file = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        if self.name in file:
            self.after -= 1
            if self.after < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.json"
    write_json(file, {"seconds": 1.0})
    monkeypatch.setattr(os, "fsync", FullFor("state.json", after=0))
    with pytest.raises(InputError, match="disk is full"):
        write_json(file, {"seconds": 2.0})
    assert json.loads(file.read_text()) == {"seconds": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", [b"", b"\x08", b"\xff" * 64, b"{}"])
def test_a_checkpoint_that_is_none_is_told(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "last.safetensors"
    file.write_bytes(content)
    with pytest.raises(BrokenCheckpoint, match=r"last\.safetensors"):
        load_checkpoint(file)


def test_a_checkpoint_of_someone_else_is_told(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"weights": torch.zeros(3)}, tmp_path / "last.safetensors")
    with pytest.raises(BrokenCheckpoint):
        load_checkpoint(tmp_path / "last.safetensors")


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    import torch

    tensors = {"a": torch.randn(3, 4), "b": torch.randn(5, 2).t(), "step": torch.tensor(7)}
    save_checkpoint(tmp_path / "best.safetensors", Checkpoint(tensors, {"step": 7, "why": "ü"}))
    read = load_checkpoint(tmp_path / "best.safetensors")
    assert read.facts == {"step": 7, "why": "ü"}
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in tensors.items())


def test_making_a_study_directory_twice_changes_nothing(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "a" / "b")
    for _ in range(2):
        directory.create()
        with directory.lock():
            directory.prepare()
    assert {path.name for path in directory.path.iterdir()} <= {"runs", ".lock"}


def test_of_two_that_start_at_once_in_a_new_directory_one_works(
    tmp_path: Path, command: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the plan is written, and in the middle of writing it; the other's half-written file stays."""
    out, told = tmp_path / "out", []
    sync = os.fsync

    def start_another(descriptor: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", sync)
            told.append(refused(*command, "--out", out))
        sync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", start_another)
        assert globalconv(*command, "--out", out).code == 0
    assert told
    assert all("another globalconv is working" in line for line in told)


def test_a_report_whose_runs_are_elsewhere_is_not_overwritten(out: Path, tmp_path: Path) -> None:
    """As in studies/default: the report and the plan are kept, the runs are not."""
    kept = tmp_path / "kept"
    shutil.copytree(out, kept, ignore=shutil.ignore_patterns("runs"))
    before = (kept / "report.json").read_bytes()
    assert "left as it is" in refused("report", kept)
    assert (kept / "report.json").read_bytes() == before
    plan = json.loads((kept / "plan.json").read_text())
    (kept / "plan.json").write_text(json.dumps(plan | {"version": 2}))
    assert "left as it is" in refused("report", kept), "also one of an earlier version"


@pytest.mark.parametrize("difference", ["another version", "another study"])
def test_what_was_refused_adds_nothing_to_a_directory(
    difference: str, out: Path, command: list[str | Path], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(out, kept, ignore=shutil.ignore_patterns("runs", ".lock"))
    if difference == "another version":
        plan = json.loads((kept / "plan.json").read_text())
        (kept / "plan.json").write_text(json.dumps(plan | {"version": 2}))
    before = sorted(kept.iterdir())
    told = refused(*command, *(["--margin", "0.5"] if difference == "another study" else []), "--out", kept)
    assert difference in told
    assert sorted(kept.iterdir()) == before
