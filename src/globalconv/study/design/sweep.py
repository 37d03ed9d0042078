"""The learning-rate sweep: a grid that widens itself, a choice that a second seed must confirm."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

FACTOR = math.sqrt(10)
START_SIZE = 3
MOST_RATES = 7
SWEEP_SEEDS = (1_000_003, 1_000_033)
"""No final run uses them: the seeds that choose a rate must not be those that judge it."""

COARSE_SHARE = 0.25
"""The length of a run in a coarse sweep, as a share of the steps. Such a sweep has one seed."""
FEWEST_COARSE_STEPS = 50


class Trial(NamedTuple):
    """One run of a sweep."""

    rate: float
    seed: int


def first_grid(middle: float) -> tuple[float, ...]:
    """Three rates, half a decade apart, around ``middle``."""
    return tuple(rounded(middle * FACTOR**k) for k in (-1, 0, 1))


def rounded(rate: float) -> float:
    """Two significant digits: what a person would write down."""
    return float(f"{rate:.1e}")


@dataclass(frozen=True)
class Sweep:
    """What a sweep has found so far, and what it makes of it.

    Every rate of the first grid is run on the first seed. Then, one trial at a time: while the best rate lies on the
    edge of what was tried, the rate beyond; then the best rate on the next seed, since one seed may be luck and a
    rate at the brink of divergence is. Should its mean fall behind another's, that one is best, and so on. A coarse
    sweep ends before that: its runs are short, and its seed is one.
    """

    scores: Mapping[float, Sequence[float | None]]
    """Learning rate -> validation scores, one for each of the first SWEEP_SEEDS; None: the run diverged."""
    higher_is_better: bool
    tolerance: float
    """Scores that differ by no more are alike, as far as one or two seeds can tell."""
    confirmed: bool = True
    """Whether the best rate must keep its place on a second seed; not in a coarse sweep."""

    @property
    def means(self) -> dict[float, float | None]:
        """Learning rate -> mean score, smallest rate first; None where any run diverged."""
        return {rate: _mean(self.scores[rate]) for rate in sorted(self.scores)}

    @property
    def best(self) -> float | None:
        """The middle one of the rates that are as good as any; None if all diverged.

        The middle of a plateau is farthest from its edges. Between two middles the better wins, else the smaller.
        """
        sign = 1.0 if self.higher_is_better else -1.0
        ranked = {rate: sign * mean for rate, mean in self.means.items() if mean is not None}
        if not ranked:
            return None
        alike = [rate for rate, score in ranked.items() if score >= max(ranked.values()) - self.tolerance]
        middles = alike[(len(alike) - 1) // 2 : len(alike) // 2 + 1]
        return max(middles, key=lambda rate: ranked[rate])

    @property
    def on_edge(self) -> bool:
        """Whether the best rate lies on the edge of what was tried, so that a better one may lie beyond."""
        return self.best is None or self.best in (min(self.scores), max(self.scores))

    @property
    def next_trial(self) -> Trial | None:
        """The run that is due; None when the sweep is over. Where every run diverged, smaller rates are tried."""
        best = self.best
        if self.on_edge and len(self.scores) < MOST_RATES:
            upwards = best == max(self.scores) and best != min(self.scores)
            beyond = max(self.scores) * FACTOR if upwards else min(self.scores) / FACTOR
            return Trial(rounded(beyond), SWEEP_SEEDS[0])
        if best is None or not self.confirmed or len(self.scores[best]) == len(SWEEP_SEEDS):
            return None
        return Trial(best, SWEEP_SEEDS[len(self.scores[best])])


def _mean(scores: Sequence[float | None]) -> float | None:
    finished = [score for score in scores if score is not None]
    return fmean(finished) if len(finished) == len(scores) else None
