"""Names and paths to tasks, and options that a task cannot use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from globalconv.errors import InputError
from globalconv.tasks import TASKS, Digits, Fashion, Recall, Table, Text, build_task, load_task, resolve_task
from tests.tasks.examples import write_csv, write_fashion, write_npz, write_records


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Path:
    """A working directory with a file of every kind."""
    rng = np.random.default_rng(seed)
    monkeypatch.chdir(tmp_path)
    write_npz(tmp_path / "waves.npz", rng)
    write_csv(tmp_path / "waves.CSV", rng)
    write_records(tmp_path / "log.txt", 0, 2000)
    write_records(tmp_path / "text", 5000, 2000)
    (tmp_path / "my pairs.tsv").write_text("a cat\tun chat\na dog\tun chien\n")
    (tmp_path / "twice.tsv").write_text("no\tno\n")
    (tmp_path / "fr.po").write_text('msgid "a cat"\nmsgstr "un chat"\n')
    (tmp_path / "fr.mo").write_bytes(b"\xde\x12\x04\x95")
    write_records(tmp_path / "notes.csv" / "a.txt", 0, 2000)
    write_fashion(tmp_path / "clothes", rng, num_train=4500)
    return tmp_path


def test_names_and_paths(here: Path):
    for name, kind, shown in [
        ("digits", Digits, "digits"),
        ("recall", Recall, "recall"),
        ("waves.npz", Table, "waves.npz"),
        (str(here / "waves.npz"), Table, "waves.npz"),
        ("notes.csv", Text, "notes.csv"),
    ]:
        task = load_task(name)
        assert type(task) is kind
        assert task.name == shown
        assert task.kind in TASKS
    assert type(load_task("waves.CSV", label="kind")) is Table
    assert load_task("log.txt", length=40).signature.length == 40
    assert load_task("recall", length=40).signature.length == 40
    assert load_task("recall", vocabulary=80).signature.vocabulary == 80
    assert load_task("text", length=40).options["path"] is None
    assert load_task("./text", length=40).options["path"] == str(here / "text")
    assert type(load_task("fashion", data="clothes")) is Fashion


def test_options_hold_absolute_paths(here: Path, monkeypatch: pytest.MonkeyPatch):
    tasks = [load_task("waves.npz"), load_task("log.txt", length=40), load_task("fashion", data="clothes")]
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    for task in tasks:
        assert build_task(task.kind, task.options).digest == task.digest


def test_the_home_folder_is_understood(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(here))
    assert load_task("~/waves.npz").options["path"] == str(here / "waves.npz")


def test_a_changed_file_is_read_anew(here: Path):
    before = load_task("log.txt", length=40)
    write_records(here / "log.txt", 7000, 2000)
    assert load_task("log.txt", length=40).digest != before.digest


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "digits",
            {"length": 64},
            "task 'digits' has no option length. Leave it out. It takes none",
        ),
        ("digits", {"label": "kind"}, "has no option label"),
        ("digits", {"vocabulary": 9}, "has no option vocabulary"),
        ("recall", {"beams": 2}, "has no option beams. Leave it out. It takes length and vocabulary"),
        ("recall", {"data": "clothes"}, "has no option data"),
        (
            "text",
            {"data": "log.txt"},
            "has no option data. Give your file or folder instead of the name text",
        ),
        ("text", {"label": "a"}, "has no option label"),
        ("fashion", {"length": 49}, "has no option length"),
        ("waves.npz", {"length": 9}, "task 'waves.npz' has no option length"),
        ("waves.npz", {"label": "y"}, "Leave out --label"),
        ("log.txt", {"label": "y"}, "task 'log.txt' has no option label"),
        ("waves.CSV", {}, r"--label is missing: .* Columns: [^.]*\.$"),
        (
            "my pairs.tsv",
            {},
            "--label is missing.* If .* globalconv compare translation --data 'my pairs.tsv'",
        ),
        ("twice.tsv", {}, "two columns with the same name.* globalconv compare translation --data twice.tsv"),
        ("twice.tsv", {"label": "no"}, "two columns with the same name: no. Rename one of them.$"),
        ("fr.po", {}, "globalconv compare translation --data fr.po"),
        ("fr.mo", {}, "globalconv compare translation --data fr.mo"),
        (
            "digit",
            {},
            "unknown task 'digit'. Did you mean 'digits'[?] Known: copy, digits, "
            "fashion, number_words, recall, reverse, sort, text, translation. Your own file or",
        ),
        ("imagenet", {}, "unknown task 'imagenet'. Known"),
        ("", {}, "unknown task ''"),
        ("waves.np", {}, "there is no file or folder 'waves.np'. Did you mean 'waves.npz'"),
        ("nowhere/at/all.csv", {}, "there is no folder 'nowhere/at'"),
        ("qqqq.csv", {}, "there is no file or folder 'qqqq.csv'.$"),
        ("copy,waves.npz", {}, "'copy,waves.npz' is not a task. Separate tasks by spaces: copy waves.npz.$"),
        (
            "log.txt,twice.tsv",
            {},
            "Separate tasks by spaces.* globalconv compare translation --data log.txt,twice.tsv.$",
        ),
        ("log.txt,nowhere.txt", {}, "there is no file or folder 'log.txt,nowhere.txt'"),
    ],
)
def test_mistakes(here: Path, name: str, options: dict[str, str], words: str):
    with pytest.raises(InputError, match=words):
        load_task(name, **options)


def test_a_study_is_told_of_pairs_too(here: Path):
    with pytest.raises(InputError, match=r"globalconv compare translation --data twice\.tsv"):
        build_task(*resolve_task("twice.tsv", {}))


def test_building_from_a_specification():
    assert build_task("recall", {"length": 40, "num_test": 8}) is build_task(
        "recall", {"num_test": 8, "length": 40}
    )
    with pytest.raises(InputError, match=r"unknown kind of task 'txt'\. Did you mean 'text'"):
        build_task("txt", {})
    with pytest.raises(InputError, match=r"has no option lenght\. Did you mean length\?"):
        build_task("recall", {"lenght": 40})


def test_importing_tasks_loads_neither_scikit_learn_nor_scipy():
    program = "import sys, globalconv.tasks; print([m for m in ('sklearn', 'scipy') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
