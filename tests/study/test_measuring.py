"""Measuring what a step costs takes a part of the budget only: past it, it is cut short."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from globalconv.errors import InputError
from globalconv.study.design import plan
from globalconv.study.design.plan import make_plan
from globalconv.study.runs import execute
from globalconv.study.runs.execute import execute_warm_up, rebuild_task, timed
from globalconv.study.runs.workers import over_the_cores
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp
from globalconv.tasks import Recall

SMALL: dict[str, Any] = {"device": "cpu", "length": 16, "width": 8, "depth": 2, "heads": 2, "batch_size": 4}
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
        self.until = 0.0

    def __call__(self, specs: Sequence[RunSpec], until: float) -> Iterator[tuple[int, WarmUp]]:
        self.until = until
        for index in range(len(specs)):
            self.begun += 1
            self.clock.now += self.seconds
            yield (
                index,
                WarmUp(
                    seconds_per_step=self.per_step,
                    seconds_per_evaluation=0.0,
                    seconds_per_test=0.0,
                    peak_memory_bytes=1,
                ),
            )


def planned(measuring: Measuring, **asked: Any) -> StudyPlan:
    request = StudyRequest(tasks=("recall",), arms=ARMS, **SMALL, **asked)
    return make_plan(request, command="", workers=1, warm_ups=measuring)


def test_slow_measuring_takes_nothing_from_a_study_but_steps(clock: Clock) -> None:
    quick, slow = (
        planned(Measuring(clock, seconds=s, per_step=0.02), budget_seconds=300.0) for s in (0.0, 50.0)
    )
    assert slow.planning_seconds == pytest.approx(200.0)
    assert slow.tasks[0].arms[0].steps < quick.tasks[0].arms[0].steps
    assert slow.planned_seconds <= 300.0


def test_measuring_is_told_when_to_hurry(clock: Clock) -> None:
    measuring = Measuring(clock, seconds=1.0)
    begun = clock()
    planned(measuring, budget_seconds=400.0)
    assert measuring.until == pytest.approx(begun + 100.0)


def test_the_time_of_the_baselines_is_the_studys(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recall, "baselines", clock.moves(60.0, Recall.baselines))
    study = planned(Measuring(clock, seconds=0.0, per_step=0.02), budget_seconds=300.0)
    assert study.planning_seconds == pytest.approx(60.0)
    assert study.planned_seconds <= 300.0


@pytest.fixture
def spec() -> RunSpec:
    """What is warmed up for one small arm."""
    specs: list[RunSpec] = []

    def keep(given: Sequence[RunSpec], until: float) -> Iterator[tuple[int, WarmUp]]:
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
    assert found.seconds_per_test == pytest.approx(1024 / 256 * evaluation), (
        "the test split is four times as large"
    )


def test_a_warm_up_is_cut_short_between_two_steps_when_its_time_is_up(
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
    found = execute_warm_up(spec, clock() + 45.0)
    assert steps == [1, 2, 3, 4, 5]
    assert found.seconds_per_step == pytest.approx(10.0)
    assert found.peak_memory_bytes > 0
    held_out = 256  # examples of the preset, 4 in a batch, and a forward pass is a third of a step
    assert found.seconds_per_evaluation == pytest.approx(held_out / 4 * 10.0 / 3)


def test_a_warm_up_that_comes_too_late_takes_three_steps(
    clock: Clock, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    work = Recall.train_batch

    def counted(task: Recall, step: int, **how: Any) -> Any:
        steps.append(step)
        return work(task, step, **how)

    monkeypatch.setattr(Recall, "train_batch", counted)
    execute_warm_up(spec, clock())
    assert steps == [1, 2, 3]


def test_what_is_timed_is_what_each_call_took(clock: Clock) -> None:
    assert timed(clock.moves(1.0), most=3, fewest=1, seconds=9.0) == pytest.approx([1.0] * 3)
    assert timed(clock.moves(1.0), most=9, fewest=2, seconds=1.0) == pytest.approx([1.0] * 2)


def test_workers_that_still_measure_are_let_go() -> None:
    started = time.monotonic()
    with closing(over_the_cores(time.sleep, [(0.0,), (300.0,)], workers=2)) as found:  # type: ignore[type-var]
        assert next(found) == (0, None)
    assert time.monotonic() - started < 150
