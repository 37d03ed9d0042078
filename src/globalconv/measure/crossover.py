"""From which length on one cost is below another: between measured lengths, or by counts at any length."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Crossover:
    """``length``: from there on the challenger costs less. None where it does not, up to ``longest``.

    ``before`` and ``after`` are the neighbouring lengths between which it lies; ``before`` is None where the challenger
    costs less from the first length on, which ``length`` then names.
    """

    length: float | None
    before: int | None
    after: int | None
    longest: int

    def short(self) -> str:
        """In a table's cell."""
        if self.length is None:
            return f"> {self.longest}"
        return f"from {self.length:.0f}" if self.length > 1 else "always"

    def words(self) -> str:
        """In a sentence."""
        if self.length is None:
            return f"nowhere up to length {self.longest}"
        return f"from length {self.length:.0f} on{'' if self.before else ', the shortest'}"


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


def crossover_of_counts(
    challenger: Callable[[int], float], rival: Callable[[int], float], *, longest: int
) -> Crossover:
    """The same for costs that are known at every length, in whole lengths: doubled from 1 on, then bisected."""
    lengths = [*(2**k for k in range(longest.bit_length()) if 2**k < longest), longest]
    lost = next((n for n in reversed(lengths) if challenger(n) >= rival(n)), None)
    if lost is None:
        return Crossover(1.0, None, 1, longest)
    if lost == longest:
        return Crossover(None, longest, None, longest)
    low, high = lost, lengths[lengths.index(lost) + 1]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if challenger(middle) >= rival(middle) else (low, middle)
    return Crossover(float(high), low, high, longest)


def crossover_sentence(seconds: Mapping[str, Mapping[int, float]], *, rival: str) -> str:
    """From which length on each is faster than ``rival``: name -> length -> seconds."""
    if rival not in seconds:
        return f"{rival} was not measured, so there is no crossover."
    parts = []
    for name, times in seconds.items():
        found = None if name == rival else crossover(times, seconds[rival])
        if found is not None:
            ratio = seconds[rival][found.longest] / times[found.longest]
            parts.append(
                f"{name} is not faster up to length {found.longest}"
                if found.length is None
                else f"{name} is faster {found.words()} ({ratio:.1f} times at {found.longest})"
            )
    return f"Against {rival}, {'; '.join(parts)}." if parts else f"Nothing was measured beside {rival}."
