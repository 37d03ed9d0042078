"""Options as a command line, a file and a caller give them: all make the same request."""

import shlex
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.study.request import (
    command_of,
    default_directory,
    options_of,
    read_toml,
    request_of,
    study_asked_for,
    to_toml,
    write_config,
)
from globalconv.study.spec import StudyRequest
from tests.study.small_studies import globalconv

REQUESTS = {
    "nothing": StudyRequest(),
    "numbers": StudyRequest(depth=3, margin=1e-05, seeds=7, budget_seconds=600.0, workers=2),
    "an odd budget": StudyRequest(budget_seconds=61.25),
    "switches": StudyRequest(sweep=False, match="flops", precision="bf16", device="cpu"),
    "a sweep": StudyRequest(tasks=("digits", "text"), arms=("attention", "a+b"), rival="a+b", sweep=True),
    "names": StudyRequest(
        tasks=("-x.txt", "a b.txt", "ü'\"\\.txt", "line\nend\x7f.txt", "🙂.npz"), label="=kind #1"
    ),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_file_is_read_back_as_the_request_it_was_written_from(
    request_: StudyRequest, tmp_path: Path
) -> None:
    text = to_toml(options_of(request_))
    assert text is not None
    (tmp_path / "study.toml").write_text(text, encoding="utf-8", newline="\n")
    assert request_of(read_toml(tmp_path / "study.toml")) == request_


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_the_command_of_a_request_asks_for_it(
    request_: StudyRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "globalconv.study.run.run_study", lambda request, out, **_: asked.append((request, out))
    )
    command = command_of(request_, tmp_path / "a study")
    if "$'" in command:  # only a shell reads these
        pytest.skip("spelt for a shell")
    assert globalconv(*shlex.split(command)[1:]).code == 0
    assert asked == [(request_, tmp_path / "a study")]


def test_a_name_that_is_not_utf8_is_in_no_file() -> None:
    assert to_toml({"tasks": ("\udcff.txt",)}) is None


def asked_for(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> tuple[StudyRequest, Path]:
    """What the command line asks for."""
    asked: list[tuple[StudyRequest, Path]] = []
    monkeypatch.setattr(
        "globalconv.study.run.run_study", lambda request, out, **_: asked.append((request, out))
    )
    ended = globalconv("compare", *arguments)
    assert ended.code == 0, ended
    return asked[0]


def test_the_command_line_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "study.toml"
    file.write_text('tasks = ["digits"]\nseeds = 2\nsweep = true\nbudget = "10m"\nout = "here"\n')
    request, out = asked_for(monkeypatch, "--config", file)
    assert request == StudyRequest(tasks=("digits",), seeds=2, sweep=True, budget_seconds=600)
    assert out == Path("here")
    words = ("text", "--seeds", "3", "--no-sweep", "--out", "there")
    request, out = asked_for(monkeypatch, "--config", file, *words)
    assert request == StudyRequest(tasks=("text",), seeds=3, sweep=False, budget_seconds=600)
    assert out == Path("there")


@pytest.mark.parametrize("out", [(), ("--out", "somewhere")])
def test_a_saved_file_is_the_same_study_in_the_same_place(
    out: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "saved.toml"
    first = asked_for(monkeypatch, "digits", "--arms", "gated_conv,hybrid", *out, "--save-config", file)
    assert asked_for(monkeypatch, "--config", file) == first
    assert (first[1] == default_directory(first[0])) == (not out)


MISTAKES = {
    "an unknown key": ("budgett = 3", "Did you mean 'budget'?"),
    "a hyphen": ("batch-size = 3", "Did you mean 'batch_size'?"),
    "a text for a number": ('width = "8"', "--width '8': give a whole number."),
    "a fraction for a whole number": ("width = 8.5", "--width 8.5: give a whole number."),
    "a number for a switch": ("sweep = 1", "--sweep 1: give true or false."),
    "a number for a name": ("label = 1", "--label 1: give a text."),
    "a number for a folder": ("out = 1", "--out"),
    "a switch for a time": ("budget = true", "write it like 90s"),
    "an unknown choice": ('match = "flop"', "Did you mean 'flops'?"),
    "a table": ("[study]\nwidth = 8", "unknown option"),
    "a number among names": ("arms = [1]", "--arms 1: give a text."),
    "no TOML": ("width 8", "is not TOML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_told_with_the_file_and_the_fix(mistake: str, tmp_path: Path) -> None:
    content, fix = MISTAKES[mistake]
    (tmp_path / "study.toml").write_text(content)
    with pytest.raises(InputError) as told:
        study_asked_for({"config": tmp_path / "study.toml"})
    assert "study.toml" in str(told.value)
    assert fix in str(told.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        study_asked_for({"config": tmp_path / "study.toml"})


def test_a_file_in_no_folder_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--save-config .*no folder"):
        write_config(tmp_path / "nowhere" / "study.toml", StudyRequest(), tmp_path)


def test_a_file_that_cannot_be_saved_names_the_option_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "study.toml").mkdir()
    with pytest.raises(InputError, match="another --save-config"):
        write_config(tmp_path / "study.toml", StudyRequest(), tmp_path)
