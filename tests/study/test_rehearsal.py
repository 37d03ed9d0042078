"""What would stop the report after training stops the study before it; names of files of any kind survive a study."""

import os
from collections import namedtuple
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.host.atomic_files import write_json
from globalconv.study.runs.reading import read_json
from globalconv.study.spec import StudyRequest, TaskChoice
from tests.study.small_studies import FEW, globalconv, prose, report_of, runs_of


def small(text: Path, out: Path) -> tuple[str | Path, ...]:
    return ("compare", text, "--length", "16", "--arms", "attention,global_conv", *FEW, "--out", out)


def test_a_report_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    def refuse(answer, out):
        assert any(arm.curve for task in answer.tasks for arm in task.arms)
        raise InputError("no ink")

    monkeypatch.setattr("tests.study.small_studies._write_json", refuse)
    ended = globalconv(*small(prose(tmp_path), tmp_path / "out"))
    assert ended.code == 2
    assert "no ink" in ended.err
    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_too_small_is_told_before_anything_is_trained(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(2**20, 2**20 - 9, 9)
    monkeypatch.setattr("globalconv.study.runs.directory.shutil.disk_usage", lambda path: usage)
    ended = globalconv(*small(prose(tmp_path), tmp_path / "out"))
    assert ended.code == 2
    assert "has 9 B left" in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="names are not bytes here")
def test_a_file_whose_name_is_no_utf8_is_studied_resumed_and_reported(tmp_path):
    text = prose(tmp_path, name=os.fsdecode(b"caf\xe9, '\x1b[31m.txt"))
    first = globalconv(*small(text, tmp_path / "out"), pictures=True)
    assert first.code == 0, first.err
    (task,) = report_of(tmp_path / "out")["tasks"]
    assert "\x1b" not in task["task"] + first.out
    trained = len(runs_of(tmp_path / "out"))
    again = globalconv(*small(text, tmp_path / "out"))
    assert again.code == 0, again.err
    assert "is complete" in again.out
    assert len(runs_of(tmp_path / "out")) == trained
    assert globalconv("report", tmp_path / "out").code == 0


def test_a_request_and_a_task_come_back_from_their_files_as_they_were(tmp_path):
    def back(value):
        write_json(tmp_path / "file.json", value.model_dump(mode="json"))
        return read_json(tmp_path / "file.json", type(value))

    odd = os.fsdecode(b"a, b/~c/\xff'\n\x1b\\x")
    request = StudyRequest(tasks=(odd,), data=odd, label=odd, arms=(odd, "x"))
    assert back(request) == request
    choice = TaskChoice(name=odd, kind="text", options={"path": odd}, digest="0")
    assert back(choice) == choice
    assert back(choice).options["path"] == odd
    assert back(choice).name.isprintable()
