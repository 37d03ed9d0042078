"""From which length on one cost is below another: between measured lengths, and by formulas at all lengths."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Crossover:
    """``length``: from there on the challenger costs less. None where it does not, up to ``longest``.

    ``before`` and ``after`` are the neighbouring lengths of a measurement between which it lies; ``before`` is
    None where the challenger costs less from the first length on, and then so does ``length`` name it.
    """

    length: float | None
    before: int | None
    after: int | None
    longest: int


def crossover(challenger: Mapping[int, float], rival: Mapping[int, float]) -> Crossover | None:
    """Where ``challenger`` stays below ``rival``: length -> cost of each; None without a length in common.

    Between the two lengths around it, log cost is taken as linear in log length, so that power laws cross
    where they do. A challenger that falls below and rises again has not crossed over: only what holds up to
    the longest length counts.
    """
    common = sorted(challenger.keys() & rival.keys())
    if not common:
        return None
    longest = common[-1]
    lost = [length for length in common if challenger[length] >= rival[length]]
    if not lost:
        return Crossover(float(common[0]), None, common[0], longest)
    if lost[-1] == longest:
        return Crossover(None, longest, None, longest)
    before, after = next((a, b) for a, b in pairwise(common) if a == lost[-1])
    low, high = (math.log(challenger[at] / rival[at]) for at in (before, after))
    share = low / (low - high)
    return Crossover(before * (after / before) ** share, before, after, longest)


def crossover_in_theory(
    challenger: Callable[[int], float], rival: Callable[[int], float], *, longest: int
) -> Crossover:
    """The same for formulas, in whole lengths: all up to 32, then in steps of 10 %, the last interval bisected."""
    lengths = [*range(1, min(32, longest) + 1)]
    while lengths[-1] < longest:
        lengths.append(min(longest, math.ceil(lengths[-1] * 1.1)))
    lost = [i for i, length in enumerate(lengths) if challenger(length) >= rival(length)]
    if not lost:
        return Crossover(1.0, None, 1, longest)
    if lost[-1] == len(lengths) - 1:
        return Crossover(None, longest, None, longest)
    low, high = lengths[lost[-1]], lengths[lost[-1] + 1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if challenger(middle) >= rival(middle) else (low, middle)
    return Crossover(float(high), low, high, longest)
