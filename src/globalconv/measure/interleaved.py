"""Interleaved timing: what is compared is measured alternately, so that a drift of the machine's speed affects all."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FEWEST_ROUNDS = 5
"""Quartiles of fewer rounds say nothing."""
Clock = Callable[[], float]


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def seconds(call: Callable[[], object], *, clock: Clock = time.perf_counter) -> float:
    """The time of one call, the freeing of its result included."""
    start = clock()
    call()
    return clock() - start


def interleaved(
    measures: Mapping[str, Callable[[], float]],
    *,
    rounds: int,
    warm_up: bool = True,
    within: float = math.inf,
    clock: Clock = time.monotonic,
) -> dict[str, list[float]]:
    """One number of each measure for each round; the order is reversed in every round.

    With ``warm_up``, a round before the first is not kept. Ends before ``rounds``, though not before
    ``FEWEST_ROUNDS``, where another round as long as those so far would end more than ``within`` seconds
    after the start.
    """
    kept: dict[str, list[float]] = {name: [] for name in measures}
    names, start = list(measures), clock()
    for done in range(-1 if warm_up else 0, rounds):
        if done >= FEWEST_ROUNDS and (clock() - start) * (done + 1) / done > within:
            break
        for name in names if done % 2 else reversed(names):
            number = measures[name]()
            if done >= 0:
                kept[name].append(number)
    return kept


def spread(numbers: Sequence[float]) -> Spread:
    """Median and quartiles of at least two numbers."""
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(median, low, high)


def ratio(numbers: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Median and quartiles of the ratios within a round."""
    return spread([a / b for a, b in zip(numbers, baseline, strict=True)])
