"""The measuring itself: case by case, all ways of one in turns, within a budget of time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from globalconv.bench.case import Case, Problem, problem_of
from globalconv.bench.floor import Speeds, floor_seconds, measure_speeds
from globalconv.bench.machine import without_paths
from globalconv.bench.ours import chosen_for, ours
from globalconv.bench.record import LeftOut, Row
from globalconv.bench.request import BenchRequest
from globalconv.bench.way import Way
from globalconv.turns import FEWEST_ROUNDS, Clock, in_turns, ratio, seconds, spread

FIRST_GUESS = 20.0
"""How many times slower than the peak a way is expected to be before it was seen."""
CHECKED_CHANNELS = 16
"""Of the first sequence: so many are also computed in float64."""
DEAR = "it would have taken more than its share of the budget"


@dataclass(frozen=True)
class Measured:
    """What one case gave."""

    speeds: Speeds
    rows: list[Row]
    left_out: list[LeftOut]


class Pace:
    """What a call will take, told from what the way took before and by how its operations grow."""

    def __init__(self) -> None:
        self._per_operation: dict[tuple[str, bool], float] = {}

    def note(self, way: Way, case: Case, took: float) -> None:
        """A call took so many seconds."""
        self._per_operation[way.name, case.backward] = took / way.operations(case)

    def expected(self, way: Way, case: Case, speeds: Speeds) -> float:
        """Seconds of a call."""
        guess = FIRST_GUESS / speeds.flops_per_second
        forward = self._per_operation.get((way.name, False), guess)
        return way.operations(case) * self._per_operation.get((way.name, case.backward), forward)


def measure(
    request: BenchRequest,
    cases: Sequence[Case],
    ways: Mapping[str, Way],
    *,
    clock: Clock = time.monotonic,
) -> Iterator[Measured]:
    """Measure the cases one after the other; ends before the last where the budget is spent.

    What is left of the budget is shared evenly by the cases that are left. Sets torch's number of threads.
    """
    deadline = clock() + request.budget_seconds
    pace, speeds = Pace(), None
    for number, case in enumerate(cases):
        left = deadline - clock()
        if number and left <= 0:
            return
        if speeds is None or speeds.threads != case.threads:
            torch.set_num_threads(case.threads)
            speeds = measure_speeds(case.threads)
        yield _measure_case(request, case, ways, speeds, pace, share=left / (len(cases) - number))


def affordable(expected: Mapping[str, float], *, first: str, share: float, rounds: int) -> list[str]:
    """``first``, and of the others, cheapest first, all that can do the fewest rounds in ``share`` seconds.

    ``expected``: way -> seconds of a call. Every way has one call more than there are rounds.
    """
    calls = min(rounds, FEWEST_ROUNDS) + 1
    kept, total = [first], expected[first]
    for name in sorted(set(expected) - {first}, key=expected.__getitem__):
        total += expected[name]
        if total * calls <= share:
            kept.append(name)
    return [name for name in expected if name in kept]


def _measure_case(
    request: BenchRequest, case: Case, ways: Mapping[str, Way], speeds: Speeds, pace: Pace, *, share: float
) -> Measured:
    start = time.monotonic()
    mine = request.backend or chosen_for(case)
    asked = [name for name in ways if name == mine or request.peers is None or name in request.peers]
    reasons = {name: why for name in asked if name != mine and (why := ways[name].refusal(case))}
    expected = {name: pace.expected(ways[name], case, speeds) for name in asked if name not in reasons}
    names = affordable(expected, first=mine, share=share, rounds=request.rounds)
    reasons |= {name: DEAR for name in expected if name not in names}

    problem = problem_of(case, seed=request.seed)
    exact = _exact(problem)
    calls, errors = {}, {}
    for name in names:
        try:
            prepared = ways[name].prepare(problem)
            errors[name] = _error(prepared.outcome(prepared.call()), exact)
            calls[name] = prepared.call
        except Exception as error:  # a peer may fail as it likes; ours may not
            if name == mine:
                raise
            reasons[name] = f"it failed, {type(error).__name__}: {without_paths(str(error))[:200]}"
    times = in_turns(
        {name: lambda call=call: seconds(call) for name, call in calls.items()},  # type: ignore[misc]
        rounds=request.rounds,
        warm_up=False,
        within=share - (time.monotonic() - start),
    )
    floor = floor_seconds(case, speeds)
    rows = []
    for name, taken in times.items():
        pace.note(ways[name], case, spread(taken).median)
        rows.append(_row(case, name, mine, taken, times[mine], floor, errors[name]))
    return Measured(speeds, rows, [LeftOut(case, name, why) for name, why in reasons.items()])


def _row(
    case: Case,
    name: str,
    mine: str,
    taken: Sequence[float],
    ours_took: Sequence[float],
    floor: float,
    error: float | None,
) -> Row:
    took, against = spread(taken), ratio(taken, ours_took)
    return Row(
        case,
        name,
        mine,
        rounds=len(taken),
        ms=round(1e3 * took.median, 4),
        ms_low=round(1e3 * took.low, 4),
        ms_high=round(1e3 * took.high, 4),
        ratio=round(against.median, 3),
        ratio_low=round(against.low, 3),
        ratio_high=round(against.high, 3),
        floor_ms=round(1e3 * floor, 4),
        over_floor=None if error is None else round(took.median / floor, 2),
        error=None if error is None else float(f"{error:.1e}"),
    )


def _exact(problem: Problem) -> dict[str, Tensor]:
    """What the first sequence's first channels give in float64."""
    operands = {name: _few(operand) for name, operand in problem.operands.items()}
    upstream = _few(problem.upstream)
    case = replace(problem.case, batch=1, width=upstream.shape[2])
    (spectral,) = (way for way in ours() if way.name == "spectral")
    prepared = spectral.prepare(Problem(case, operands, upstream))
    return prepared.outcome(prepared.call())


def _few(operand: Tensor) -> Tensor:
    """In float64: of the first sequence the first channels, of what has no sequences the same channels."""
    few = operand[:1, :, :CHECKED_CHANNELS] if operand.ndim == 3 else operand[:CHECKED_CHANNELS]
    return few.double()


def _error(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> float | None:
    """The largest error of all that is shaped like y, relative to its norm; what has no such results has None."""
    errors = [
        float((_few(tensor.detach()) - exact[name]).norm() / exact[name].norm())
        for name, tensor in found.items()
        if tensor.ndim == 3
    ]
    return max(errors, default=None)
