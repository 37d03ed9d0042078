"""What a session drops when the clock does not hold it."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from globalconv.display.progress import Progress
from globalconv.study.runs.directory import StudyState
from globalconv.study.session import Session

SECONDS_OF_A_RUN = 10.0
BUDGET = 100.0


def trained(spent: float, *, budget: float | None = BUDGET, missing: set[str] | None = None) -> list[int]:
    """The seeds whose two runs are begun, each of which takes its planned seconds, after ``spent`` seconds."""
    plan: Any = SimpleNamespace(tasks=[], seeds=(0, 1, 2), budget_seconds=budget)
    directory: Any = SimpleNamespace(write_state=lambda state: None)
    state = StudyState(seconds=spent)
    session = Session(
        directory, plan, state, progress=Progress(Console(file=StringIO())), workers=1, started=0.0
    )
    session._planned_seconds = lambda run: SECONDS_OF_A_RUN  # type: ignore[method-assign]
    rounds: Any = {
        seed: [SimpleNamespace(name=f"{seed}a", seed=seed), SimpleNamespace(name=f"{seed}b", seed=seed)]
        for seed in plan.seeds
    }
    begun = []
    due: Any = [run for runs in rounds.values() for run in runs if missing is None or run.name in missing]
    for run in session._until_the_clock_runs_out(rounds, due):
        begun.append(run.seed)  # type: ignore[attr-defined]
        state.seconds += SECONDS_OF_A_RUN
    assert state.dropped_seeds == [seed for seed in plan.seeds if seed > max(begun)]
    return sorted(set(begun))


@pytest.mark.parametrize(
    ("spent", "seeds"),
    [
        (40.0, [0, 1, 2]),  # ends at 100
        (50.0, [0, 1, 2]),  # at 110: as late as a third seed may end
        (50.1, [0, 1]),
        (90.0, [0, 1]),  # at 130: as late as a second seed may, without which there is no interval
        (90.1, [0]),
        (1000.0, [0]),  # without the first there is nothing at all
    ],
)
def test_a_seed_is_dropped_only_where_it_would_end_too_late(spent, seeds):
    assert trained(spent) == seeds


def test_without_a_budget_the_clock_decides_nothing():
    assert trained(1e6, budget=None) == [0, 1, 2]


def test_a_seed_that_was_begun_is_finished():
    assert trained(1000.0, missing={"1b", "2a", "2b"}) == [1]
