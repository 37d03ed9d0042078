"""The command line as a user meets it: help, versions, and every mistake told in one line with its mending."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

import globalconv as package
from globalconv.cli import app
from globalconv.display.numbers import format_duration
from globalconv.ops import available_backends, choose_backend
from globalconv.options import parse_duration
from tests.study.small_studies import FEW, Ended, globalconv, prose
from tests.tasks.examples import is_root, write_csv, write_npz

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are fine, and files that are not."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(3)
    prose(folder)
    (folder / "more").mkdir()
    prose(folder / "more")
    write_npz(folder / "waves.npz", rng)
    write_csv(folder / "waves.csv", rng)
    (folder / "empty.txt").touch()
    (folder / "short.txt").write_text("Too short.")
    (folder / "noise.txt").write_bytes(rng.bytes(9_000))
    (folder / "nothing").mkdir()
    (folder / "pairs.tsv").write_text("a cat\tun chat\n")
    (folder / "secret.txt").write_text("secret")
    (folder / "secret.txt").chmod(0)
    return folder


MISTAKES = {
    "an unknown task": ("digit", "digits"),
    "a file that is not there": ("prosa.txt", "prose.txt"),
    "a folder that is not there": ("nowhere/prose.txt", "nowhere"),
    "an unknown arm": ("prose.txt --arms global_conf", "global_conv"),
    "an unknown mixer in a pattern": ("prose.txt --arms global_conv+atention", "attention"),
    "an unknown rival": ("prose.txt --rival atention", "attention"),
    "a module that is not there": ("prose.txt --arms no_such_module:Mixer", "no_such_module"),
    "a class that is not there": ("prose.txt --arms globalconv.mixers:Convolution", "Convolution"),
    "a class that is no mixer": ("prose.txt --arms pathlib:Path", "globalconv.mixers.Mixer"),
    "an unknown match": ("prose.txt --match flop", "flops"),
    "an unknown device": ("prose.txt --device cud", "cuda"),
    "a device by number": ("prose.txt --device cuda:1", "cuda"),
    "an unknown precision": ("prose.txt --precision bf61", "bf16"),
    "half precision on a CPU": ("prose.txt --precision fp16", "bf16"),
    "an empty file": ("empty.txt", "empty"),
    "a file that is too short": ("short.txt", "bytes"),
    "a file that is no text": ("noise.txt", "UTF-8"),
    "a folder without files": ("nothing", "no text"),
    "a length beyond the data": ("prose.txt --length 5000", "length of at most"),
    "a width that the heads do not divide": ("prose.txt --heads 3", "heads that fit"),
    "heads without attention": ("prose.txt --arms gated_conv --rival global_conv", "--heads"),
    "an impossible budget": ("prose.txt --arms global_conv --budget 1s", "--budget"),
    "a malformed budget": ("prose.txt --budget 5x", "5m"),
    "a budget of nothing": ("prose.txt --budget 0s", "5m"),
    "the rival alone": ("prose.txt --arms attention", "--arms"),
    "no arm at all": ("prose.txt --arms ,", "--arms"),
    "a rival that cannot be causal": ("prose.txt --rival token_mlp", "token_mlp"),
    "an arm that cannot be causal, alone": ("prose.txt --arms token_mlp", "--arms"),
    "a task named twice": ("prose.txt prose.txt", "once"),
    "two files of one name": ("prose.txt more/prose.txt", "renamed"),
    "too few blocks for a pattern": ("prose.txt --arms hybrid --depth 1", "--depth 2"),
    "an arm that cannot be matched": ("digits --arms token_mlp", "--width"),
    "a CSV without its label": ("waves.csv", "--label"),
    "a label that is no column": ("waves.csv --label kin", "kind"),
    "a label for an archive": ("waves.npz --label kind", "label"),
    "a label for a text": ("prose.txt --label kind", "label"),
    "a length for a classification": ("digits --length 5", "length"),
    "a length that recall cannot use": ("recall --length 5", "at least 16"),
    "data for the text": ("text --data more", "folder"),
    "a fashion that is not there": ("fashion --data nothing", "--data"),
    "a margin below nothing": ("prose.txt --margin -1", "--margin"),
    "a margin that is no number": ("prose.txt --margin nan", "--margin"),
    "a margin without end": ("prose.txt --margin inf", "--margin"),
    "an unknown design": ("copy --design orignal", "'original'"),
    "a design for a language model": ("prose.txt --design modern", "leave it out"),
    "an unknown twin": ("copy --arms conv_encodr", "'conv_encoder'"),
    "a twin for a language model": ("prose.txt --arms conv_encoder", "translation"),
    "a twin for a rival without a decoder": ("digits --rival attention/global_conv", "encoder-decoders"),
    "a length that leaves too few sources": ("reverse --length 1", "use --length 4 or more"),
    "parallel text with one column": ("translation --data prose.txt", "SOURCE,TARGET"),
    "parallel text as a task": ("pairs.tsv", "globalconv compare translation --data pairs.tsv"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line_before_any_training(
    mistake: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, fix = MISTAKES[mistake]
    few = [*FEW, "--workers", "1"]
    for option in ("--heads", "--budget", "--depth", "--steps"):
        if option in arguments.split():
            where = few.index(option)
            del few[where : where + 2]
    monkeypatch.chdir(data)
    refused(globalconv("compare", *arguments.split(), *few, "--out", tmp_path / "out"), fix)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(is_root(), reason="root may read everything")
def test_a_file_that_may_not_be_read(data: Path, tmp_path: Path) -> None:
    refused(globalconv("compare", data / "secret.txt", "--out", tmp_path / "out"), "permissions")


def refused(ended: Ended, fix: str) -> None:
    assert ended.code == 2, ended
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert line.endswith((".", ")", "?")), line
    assert fix in line
    assert "Training" not in ended.out


def test_backends_prints_every_backend_and_the_choice() -> None:
    ended = globalconv("backends", "--length", "777", "--mode", "circular")
    assert ended.code == 0, ended.err
    assert "777" in ended.out
    for backend in available_backends():
        assert backend.name in ended.out
    assert ended.out.count("chosen") == 1


@pytest.mark.parametrize("mode", ["circular", "causal", "bidirectional"])
@pytest.mark.parametrize("length", [1, 2, 1000])
def test_backends_takes_as_many_taps_as_the_mode_can_use(mode: str, length: int) -> None:
    ended = globalconv("backends", "--length", str(length), "--mode", mode)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ("--mode casual", "causal"),
        ("--device cud", "cuda"),
        ("--taps 9 --length 8 --mode circular", "8"),
        ("--taps 4 --mode bidirectional", "odd"),
        ("--length 99999999999999999999", "--length 99999999999999999999: give at most"),
        ("--width 99999999999", "--width 99999999999: give at most"),
        ("--batch 99999999999", "--batch 99999999999: give at most"),
        ("--taps 99999999999", "--taps 99999999999: give at most"),
    ],
)
def test_backends_tells_a_mistake_in_one_line(arguments: str, fix: str) -> None:
    refused(globalconv("backends", *arguments.split()), fix)


def test_the_choice_is_the_one_of_the_operator() -> None:
    import torch

    choice = choose_backend(device="cpu", dtype=torch.float32, length=5000, num_taps=3, mode="causal")
    ended = globalconv("backends", "--length", "5000", "--taps", "3")
    row = next(line for line in ended.out.splitlines() if "chosen" in line)
    assert choice.name in row


WITHOUT_TORCH = """
import resource, sys
sys.argv = ["globalconv", *sys.argv[1:]]
from globalconv.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
for heavy in ("torch", "numpy", "scipy", "matplotlib"):
    assert heavy not in sys.modules, heavy
used = resource.getrusage(resource.RUSAGE_SELF)
print("seconds:", used.ru_utime + used.ru_stime)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["compare", "--help"], ["bench", "--help"], ["--version"], []]
)
def test_help_takes_less_than_a_second_and_loads_no_torch(arguments: list[str]) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if arguments:
        assert ended.returncode == 0, ended.stderr
        # Seconds of the processor, so that a busy machine does not fail it.
        assert float(ended.stdout.rpartition("seconds:")[2]) < 1.0
    else:
        assert "compare" in ended.stdout + ended.stderr, "without arguments: the help"


DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = {
    command.name or command.callback.__name__: command.callback for command in app.registered_commands
}
TWO_SCREENS = dict.fromkeys(COMMANDS, 48) | {"compare": 60}  # lines; compare has 31 options


def names_of_options(command: str) -> set[str]:
    """Every option of a command, read off its parameters."""
    context = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for p in context.params for name in (*p.opts, *p.secondary_opts) if name.startswith("--")}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_fits_two_screens_with_a_line_for_every_option(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = globalconv(command, "--help").out.splitlines()
    assert len(lines) <= TWO_SCREENS[command]
    assert max(map(len, lines)) == 80
    rows = [line for line in lines if line.startswith("│")]
    one_line = re.compile(r"│ [* ]{0,5}(?:--[a-z]|[A-Z])")
    assert all(one_line.match(line) for line in rows), "an option takes two lines"
    assert names_of_options(command) | {"--help"} == set(re.findall(r"(?<= )--[a-z-]+", "\n".join(rows)))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_gives_the_default_of_every_option_that_has_one(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = globalconv(command, "--help").out.splitlines()
    for name, parameter in inspect.signature(COMMANDS[command]).parameters.items():
        default = parameter.default
        if default in (None, parameter.empty) or isinstance(default, bool) or name == "lengths":
            continue
        (row,) = (row for row in rows if f" --{name.replace('_', '-')} " in row)
        assert f"Default: {default}" in row


@pytest.mark.skipif(not DOCS.exists(), reason="docs/ is not part of a wheel")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_explains_every_option_and_no_other(command: str) -> None:
    page = (DOCS / ("compare.md" if command == "compare" else "commands.md")).read_text()
    if command != "compare":
        (page,) = re.findall(rf"^## {command}\n(.*?)(?=^## |\Z)", page, flags=re.M | re.S)
    first_cells = "\n".join(re.findall(r"^\| (`--[^|]*)\|", page, flags=re.M))
    assert set(re.findall(r"`(--[a-z-]+)`", first_cells)) == names_of_options(command)


@pytest.mark.skipif(not DOCS.exists(), reason="docs/ is not part of a wheel")
def test_the_page_of_compare_names_the_default_twins() -> None:
    from globalconv.study.design.arms import DEFAULT_TWINS

    page = (DOCS / "compare.md").read_text()
    assert f"the default is {', '.join(DEFAULT_TWINS)}." in page
    assert "For copy, reverse and sort: exactly this many symbols, and the end token" in page


def test_the_version_is_the_packages() -> None:
    assert globalconv("--version").out.split() == ["globalconv", package.__version__]


def test_it_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "globalconv", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["globalconv", package.__version__]


def test_a_study_asked_for_again_has_the_same_directory_and_another_study_another(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("globalconv.study.run.run_study", lambda request, out, **_: asked.append(out))
    commands = [[], [], ["--workers", "2"], ["--seeds", "4"], ["prose.txt"], ["a/prose.txt"]]
    for command in commands:
        assert globalconv("compare", *command).code == 0
    assert asked[0] == asked[1] == asked[2]
    assert len(set(asked)) == 4
    assert all(out.parent == Path("globalconv-studies") for out in asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5h", 5400), ("45", 45), (" 2 H ", 7200), ("1d", 86400)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3660, "1 h 01 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
