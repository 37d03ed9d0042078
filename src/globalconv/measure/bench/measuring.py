"""The measuring itself: case by case, all implementations of one interleaved, within a budget of time."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from globalconv.measure.allocator import without_paths
from globalconv.measure.bench.backends import backends, chosen_for
from globalconv.measure.bench.implementation import Implementation, Problem, least_seconds, problem_of
from globalconv.measure.bench.request import BenchRequest
from globalconv.measure.case import Case
from globalconv.measure.interleaved import FEWEST_ROUNDS, Clock, interleaved, ratio, seconds, spread
from globalconv.measure.record import LeftOut, Row
from globalconv.measure.roofline import Speeds, measure_speeds

FIRST_GUESS = 20.0
"""How many times slower than the peak an implementation is expected to be before it was measured."""
CHECKED_CHANNELS = 16
"""The channels of the first sequence that are also computed in float64."""
TOO_SLOW = "it would have taken more than its share of the budget"


@dataclass(frozen=True)
class Measured:
    """What one case gave."""

    speeds: Speeds
    rows: list[Row]
    left_out: list[LeftOut]


class Pace:
    """Estimates the time of a call from earlier ones and from how the operations grow."""

    def __init__(self) -> None:
        self._per_operation: dict[tuple[str, bool], float] = {}

    def note(self, one: Implementation, case: Case, took: float) -> None:
        """A call took ``took`` seconds."""
        self._per_operation[one.name, case.backward] = took / one.operations(case)

    def expected(self, one: Implementation, case: Case, speeds: Speeds) -> float:
        """Seconds of a call."""
        guess = FIRST_GUESS / speeds.flops_per_second
        forward = self._per_operation.get((one.name, False), guess)
        return one.operations(case) * self._per_operation.get((one.name, case.backward), forward)


def measure(
    request: BenchRequest,
    cases: Sequence[Case],
    implementations: Mapping[str, Implementation],
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
        share = left / (len(cases) - number)
        yield _measure_case(request, case, implementations, speeds, pace, share=share)


def affordable(expected: Mapping[str, float], *, first: str, share: float, rounds: int) -> list[str]:
    """``first``, and of the others, cheapest first, all that can do the fewest rounds in ``share`` seconds.

    ``expected``: name -> seconds of a call. Each is called once more than there are rounds.
    """
    calls = min(rounds, FEWEST_ROUNDS) + 1
    kept, total = [first], expected[first]
    for name in sorted(set(expected) - {first}, key=expected.__getitem__):
        total += expected[name]
        if total * calls <= share:
            kept.append(name)
    return [name for name in expected if name in kept]


def _measure_case(
    request: BenchRequest,
    case: Case,
    known: Mapping[str, Implementation],
    speeds: Speeds,
    pace: Pace,
    *,
    share: float,
) -> Measured:
    start = time.monotonic()
    baseline = request.backend or chosen_for(case)
    asked = [name for name in known if name == baseline or request.peers is None or name in request.peers]
    reasons = {name: why for name in asked if name != baseline and (why := known[name].refusal(case))}
    expected = {name: pace.expected(known[name], case, speeds) for name in asked if name not in reasons}
    names = affordable(expected, first=baseline, share=share, rounds=request.rounds)
    reasons |= {name: TOO_SLOW for name in expected if name not in names}

    problem = problem_of(case, seed=request.seed)
    exact = _exact(problem)
    calls, errors = {}, {}
    for name in names:
        try:
            prepared = known[name].prepare(problem)
            errors[name] = _error(prepared.outcome(prepared.call()), exact)
            calls[name] = prepared.call
        except Exception as error:  # a peer may fail as it likes; the baseline may not
            if name == baseline:
                raise
            reasons[name] = f"it failed, {type(error).__name__}: {without_paths(str(error))[:200]}"
    times = interleaved(
        {name: lambda call=call: seconds(call) for name, call in calls.items()},  # type: ignore[misc]
        rounds=request.rounds,
        warm_up=False,
        within=share - (time.monotonic() - start),
    )
    least = least_seconds(case, speeds)
    rows = []
    for name, taken in times.items():
        took, against, off = spread(taken), ratio(taken, times[baseline]), errors[name]
        pace.note(known[name], case, took.median)
        row = Row(
            **vars(case),
            subject=name,
            rounds=len(taken),
            ms=round(1e3 * took.median, 4),
            ms_low=round(1e3 * took.low, 4),
            ms_high=round(1e3 * took.high, 4),
            roofline_ms=None if off is None else float(f"{1e3 * least:.4g}"),
            baseline=baseline,
            ratio=round(against.median, 3),
            ratio_low=round(against.low, 3),
            ratio_high=round(against.high, 3),
            error=None if off is None else float(f"{off:.1e}"),
        )
        rows.append(row)
    return Measured(
        speeds, rows, [LeftOut(**vars(case), subject=name, why=why) for name, why in reasons.items()]
    )


def _exact(problem: Problem) -> dict[str, Tensor]:
    """What the first sequence's first channels give in float64."""
    operands = {name: _few(operand) for name, operand in problem.operands.items()}
    upstream = _few(problem.upstream)
    case = replace(problem.case, batch=1, width=upstream.shape[2])
    (spectral,) = (one for one in backends() if one.name == "spectral")
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
