"""Who waits sees how far it is within a run, and a time left that falls."""

import io
import re
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from globalconv.display import progress as module
from globalconv.display.progress import Phase, Progress
from globalconv.options import parse_duration
from globalconv.study.runs.run_directory import RunDirectory
from globalconv.study.spec import ModelSpec, RunSpec, TaskChoice
from globalconv.training import TrainingSettings


class Clock:
    """In place of time.monotonic: it goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Also: nobody looks but the test."""
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 1e6)
    return clock


def seconds_left(told: str) -> float:
    found = re.search(r"about (.+) left", told)
    return parse_duration(found[1].replace(" ", "").replace("min", "m")) if found else 0.0


@pytest.mark.parametrize("speed", [0.5, 1.0, 3.0])
def test_within_a_run_the_time_left_falls(speed: float, clock: Clock) -> None:
    """Also on a machine that is slower or faster than the plan expects."""
    phase = Phase(Progress(Console(file=io.StringIO())), "Training", 2, 600.0, "runs")
    phase.under_way = lambda: speed * clock.now
    lefts = []
    while clock.now < 400 / speed:
        clock.now += 10.0
        phase.look()
        lefts.append(phase.end - clock.now)
    told = lefts[len(lefts) // 8 :]  # until then it learns how fast the machine is
    assert all(before > after for before, after in pairwise(told))
    assert lefts[-1] == pytest.approx(600 / speed - clock.now, rel=0.1)


def test_where_nobody_knows_how_far_a_run_is_the_time_left_falls_too(clock: Clock) -> None:
    phase = Phase(Progress(Console(file=io.StringIO())), "Measuring", 3, 90.0, "arms")
    told = []
    for clock.now in (1.0, 20.0, 40.0, 200.0):
        phase.look()
        told.append(phase.status())
    assert [seconds_left(line) for line in told] == sorted(map(seconds_left, told), reverse=True)
    assert told[-1] == "0/3 arms, almost done"


def test_in_a_log_there_is_a_line_every_half_minute(clock: Clock) -> None:
    file = io.StringIO()
    with Progress(Console(file=file)).phase("Training", runs=2, seconds=200.0) as phase:
        phase.under_way = lambda: clock.now / 2
        for clock.now in map(float, range(100)):
            phase.look()
        phase.advance(100.0, runs=2)
    lines = file.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("Training: 0/2 runs (8% of the work), about ")
    assert lines[-1] == "Training: 2/2 runs, done"


def test_a_terminal_is_looked_at_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.001)
    looks: list[float] = []
    console = Console(file=io.StringIO(), force_terminal=True)
    with Progress(console).phase("Training", runs=1, seconds=5.0) as phase:
        phase.under_way = lambda: looks.append(0.0) or 1.0  # type: ignore[func-returns-value]
        while len(looks) < 3:
            pass


def test_a_run_leaves_word_of_its_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("globalconv.study.runs.run_directory.SECONDS_BETWEEN_NOTES", 0.0)
    spec = RunSpec(
        task=TaskChoice(name="digits", kind="digits", options={}, digest=""),
        arm="attention",
        model=ModelSpec(mixers=("attention",), mixer_options={}, width=8, mlp_width=8),
        training=TrainingSettings(steps=40, batch_size=1, learning_rate=1.0),
        seed=0,
        purpose="final",
        device="cpu",
    )
    run = RunDirectory(tmp_path, spec)
    assert run.share_done() == 0
    run.note_step(1)  # there is no directory yet
    run.path.mkdir()
    run.note_step(10)
    assert run.share_done() == 0.25
    for content, share in (("", 0.0), ("x", 0.0), ("-3", 0.0), ("9" * 30, 1.0)):
        (run.path / "step").write_text(content)
        assert run.share_done() == share
