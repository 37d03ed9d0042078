"""Measuring what a step costs ends with the budget: it stops, it is told, and nothing is left of it."""

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.quantities import parse_duration
from globalconv.study import execute, plan
from globalconv.study.budget import COST_SECONDS
from globalconv.study.execute import execute_warm_up, rebuild_task, timed
from globalconv.study.plan import make_plan
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp
from globalconv.study.workers import over_the_cores
from globalconv.tasks import Copy, Recall, Reverse
from tests.study.small_studies import globalconv

SMALL: dict[str, Any] = {"length": 16, "width": 8, "depth": 2, "heads": 2, "batch_size": 4}
ARMS = ("attention", "global_conv", "gated_conv", "hybrid")


@dataclass
class Clock:
    """A clock that only the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def moves(self, seconds: float, action: Callable[..., Any] = lambda *_, **__: None) -> Callable[..., Any]:
        """``action``, which takes so long."""

        def slow(*arguments: Any, **options: Any) -> Any:
            self.now += seconds
            return action(*arguments, **options)

        return slow


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The only time that planning and warming up know."""
    clock = Clock()
    for module in (plan, execute):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock, perf_counter=clock))
    return clock


class Measuring:
    """Warm-ups by a clock: each takes ``seconds``, a step of each ``per_step``."""

    def __init__(self, clock: Clock, *, seconds: float, per_step: float = 1e-4) -> None:
        self.clock, self.seconds, self.per_step = clock, seconds, per_step
        self.begun = 0
        self.closed = False

    def __call__(
        self, specs: Sequence[RunSpec], until: float
    ) -> Generator[tuple[int, WarmUp | None], None, None]:
        try:
            for index in range(len(specs)):
                self.begun += 1
                self.clock.now += self.seconds
                late = self.clock() >= until
                yield (
                    index,
                    None
                    if late
                    else WarmUp(
                        seconds_per_step=self.per_step, seconds_per_evaluation=0.0, peak_memory_bytes=1
                    ),
                )
        finally:
            self.closed = True


def planned(measuring: Measuring, **asked: Any) -> StudyPlan:
    request = StudyRequest(tasks=("recall",), arms=ARMS, **SMALL, **asked)
    return make_plan(request, command="", workers=1, warm_ups=measuring)


def test_measuring_stops_with_the_budget(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=30.0)
    with pytest.raises(
        InputError, match=r"2 of 4 arms.*an estimate.* about --budget \w+\..*fewer tasks or arms"
    ):
        planned(measuring, budget_seconds=COST_SECONDS + 70.0)
    assert measuring.begun == 3, "the third found no time"
    assert measuring.closed


def test_measuring_stops_as_soon_as_what_is_measured_cannot_fit(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=1.0, per_step=10.0)
    with pytest.raises(InputError, match=r"after 1 s the speed of 1 of 4 arms is measured"):
        planned(measuring, budget_seconds=300.0)
    assert measuring.begun == 1
    assert measuring.closed


def test_time_that_is_gone_before_a_speed_is_known_is_told_as_such(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=80.0)
    with pytest.raises(InputError, match=r"80 s are spent before any arm's speed was known.*As a guess"):
        planned(measuring, budget_seconds=100.0)
    assert measuring.begun == 1


def test_slow_measuring_that_leaves_enough_is_refused_nothing(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=60.0)
    plan = planned(measuring, budget_seconds=300.0)
    assert measuring.begun == 4
    assert plan.planning_seconds == pytest.approx(240.0)


def test_the_budget_that_is_named_reckons_with_the_sweep_that_it_brings_along(clock: Clock) -> None:
    """Unless it was said that rates are not swept."""
    named = {}
    for sweep in (None, False):
        request = StudyRequest(
            tasks=("digits",), arms=("gated_conv",), steps=100, sweep=sweep, budget_seconds=1790.0
        )
        measuring = Measuring(clock, seconds=0.0, per_step=5.9)
        with pytest.raises(InputError, match="the least that this study then needs here") as error:
            make_plan(request, command="", workers=2, warm_ups=measuring)
        option = re.search(r"at least --budget (\w+); from --budget 30m on", str(error.value))
        assert option is not None
        named[sweep] = parse_duration(option[1])
    assert named[None] > 2 * named[False]


def test_a_task_that_is_slow_to_prepare_is_the_last(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "build_task", clock.moves(80.0, plan.build_task))
    measuring = Measuring(clock, seconds=0.0)
    request = StudyRequest(tasks=("recall", "nowhere.txt"), budget_seconds=100.0)
    with pytest.raises(InputError, match="80 s are spent before any arm's speed was known"):
        make_plan(request, command="", workers=1, warm_ups=measuring)
    assert measuring.begun == 0


def test_floors_are_not_begun_without_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Copy, "floors", clock.moves(80.0))
    monkeypatch.setattr(Reverse, "floors", lambda task: pytest.fail("a floor"))
    request = StudyRequest(
        tasks=("copy", "reverse"), arms=("conv_both",), steps=1, sweep=False, budget_seconds=100.0, **SMALL
    )
    with pytest.raises(InputError, match="84 s are spent on reading the data and measuring the speed"):
        make_plan(request, command="", workers=1, warm_ups=Measuring(clock, seconds=1.0))


def test_a_budget_below_what_is_set_aside_is_refused_before_anything_is_read(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=0.0)
    with pytest.raises(InputError, match="too small for any study"):
        make_plan(
            StudyRequest(tasks=("nowhere.txt",), budget_seconds=COST_SECONDS - 1),
            command="",
            workers=1,
            warm_ups=measuring,
        )
    assert measuring.begun == 0


@pytest.fixture
def spec() -> RunSpec:
    """What is warmed up for one small arm."""
    specs: list[RunSpec] = []

    def keep(given: Sequence[RunSpec], until: float) -> Generator[tuple[int, WarmUp | None], None, None]:
        specs.extend(given)
        raise InputError(f"no more is wanted, until {until}")
        yield

    with pytest.raises(InputError, match="no more"):
        make_plan(StudyRequest(tasks=("recall",), arms=ARMS, **SMALL), command="", workers=1, warm_ups=keep)
    rebuild_task(specs[0].task)  # once per process; it draws a batch for its digest
    return specs[0]


@pytest.mark.parametrize(
    ("step", "evaluation", "steps", "evaluations"),
    [
        (0.01, 0.01, 2 + 5 + 15, 2),
        (0.3, 2.5, 2 + 4 + 7, 2),
        (5.0, 3.5, 2 + 1 + 5, 1),
    ],
)
def test_where_steps_are_long_fewer_are_timed(
    step: float,
    evaluation: float,
    steps: int,
    evaluations: int,
    clock: Clock,
    spec: RunSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    work = Recall.train_batch
    monkeypatch.setattr(
        Recall,
        "train_batch",
        clock.moves(step, lambda *given, **how: (done.append("step"), work(*given, **how))[1]),
    )
    monkeypatch.setattr(
        execute, "evaluate", clock.moves(evaluation, lambda *given, **how: done.append("evaluation"))
    )
    found = execute_warm_up(spec)
    assert found is not None
    assert done == ["step"] * steps + ["evaluation"] * evaluations
    assert found.seconds_per_step == pytest.approx(step)
    assert found.seconds_per_evaluation == pytest.approx(evaluation)


def test_a_warm_up_stops_between_two_steps_when_its_time_is_up(
    clock: Clock, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    work = Recall.train_batch

    def slow(task: Recall, step: int, **how: Any) -> Any:
        steps.append(step)
        clock.now += 10.0
        return work(task, step, **how)

    monkeypatch.setattr(Recall, "train_batch", slow)
    monkeypatch.setattr(execute, "evaluate", lambda *_, **__: pytest.fail("an evaluation"))
    assert execute_warm_up(spec, clock() + 45.0) is None
    assert steps == [1, 2, 3, 4, 5]
    assert execute_warm_up(spec, clock() + 80.0) is None, "all eight steps, and no time for an evaluation"


def test_a_warm_up_that_comes_too_late_reads_nothing(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "rebuild_task", lambda choice: pytest.fail("the data"))
    assert execute_warm_up(spec, time.monotonic()) is None


def test_what_is_timed_is_what_each_call_took(clock: Clock) -> None:
    assert timed(clock.moves(1.0), most=3, fewest=1, seconds=9.0) == pytest.approx([1.0] * 3)
    assert timed(clock.moves(1.0), most=9, fewest=2, seconds=1.0) == pytest.approx([1.0] * 2)


def test_the_command_stops_measuring_and_leaves_nothing(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalconv.study.compare.execute_warm_up", clock.moves(70.0))
    ended = globalconv(
        "compare", "recall", "--workers", "1", "--budget", "90s", "--out", tmp_path / "folder" / "out"
    )
    assert ended.code == 2
    assert "70 s are spent" in ended.err
    assert "--budget 5m" in ended.err
    assert not (tmp_path / "folder" / "out").exists()


def test_workers_that_still_measure_are_let_go() -> None:
    started = time.monotonic()
    with closing(over_the_cores(time.sleep, [(0.0,), (300.0,)], workers=2)) as found:  # type: ignore[type-var]
        assert next(found) == (0, None)
    assert time.monotonic() - started < 150
