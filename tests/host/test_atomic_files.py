"""Files are whole or not there, and whoever cannot write one is told why."""

import errno
import json
import os
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.host.atomic_files import make_directory, sweep_up, write_bytes, write_json, write_text

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def fail_with(number: int):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_what_is_written_is_read(tmp_path):
    write_bytes(tmp_path / "bytes", b"\0\1")
    write_text(tmp_path / "text", "größer\n")
    write_json(tmp_path / "json", {"a": [1, 0.1, None, "ü"]})
    assert (tmp_path / "bytes").read_bytes() == b"\0\1"
    assert (tmp_path / "text").read_text(encoding="utf-8") == "größer\n"
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1, 0.1, None, "ü"]}
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_words_for_nan(value, tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", {"x": value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("at", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
def test_a_full_disk(number, at, tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(at, fail_with(number))
    with pytest.raises(InputError, match=r"(disk is full|ulimit -f).+Free some space"):
        write_text(tmp_path / "a", "new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("number", UNWRITABLE)
def test_an_unwritable_place_as_the_system_tells_it(number, tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.open", fail_with(number))
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "a", "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"cannot be written.+--out"):
            write_text(tmp_path / "a", "new")
        with pytest.raises(InputError, match=r"cannot be written.+--out"):
            make_directory(tmp_path / "b")
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_a_directory_should_be(tmp_path):
    (tmp_path / "a").write_text("old")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(InputError, match="because a file of that name exists"):
            make_directory(path)
    assert (tmp_path / "a").read_text() == "old"


def test_what_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a", "new")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_up(tmp_path, monkeypatch):
    """A kill runs no handler: the file beside stays."""
    make_directory(tmp_path / "below")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail_with(errno.EIO))
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        for path in (tmp_path / "a", tmp_path / "below" / "b.json"):
            with pytest.raises(InputError):
                write_text(path, "new")
    assert len(list(tmp_path.rglob(".*.tmp"))) == 2
    for name in (".keep", "mine.tmp", ".mine.tmp", ".notes.txt.tmp"):
        (tmp_path / name).write_text("mine")
    sweep_up(tmp_path)
    assert {p.name for p in tmp_path.rglob("*")} == {
        ".keep",
        "mine.tmp",
        ".mine.tmp",
        ".notes.txt.tmp",
        "below",
    }


def test_directories_are_made_with_their_parents(tmp_path: Path):
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
