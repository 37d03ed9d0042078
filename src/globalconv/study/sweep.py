"""The learning-rate sweep: a grid that widens itself while the best rate lies on its edge."""

import math

FACTOR = math.sqrt(10)
START_SIZE = 3
MOST_RATES = 7
SWEEP_SEED = 1_000_003
"""No final run uses it: the seeds that choose a rate must not be those that judge it."""


def first_grid(middle: float) -> tuple[float, ...]:
    """Three rates, half a decade apart, around ``middle``."""
    return tuple(rounded(middle * FACTOR**k) for k in (-1, 0, 1))


def rounded(rate: float) -> float:
    """Two significant digits: what a person would write down."""
    return float(f"{rate:.1e}")


def best_rate(scores: dict[float, float | None], *, higher_is_better: bool) -> float | None:
    """The rate with the best validation score; None if every run diverged. Ties go to the smaller."""
    finished = {rate: score for rate, score in scores.items() if score is not None}
    if not finished:
        return None
    sign = 1.0 if higher_is_better else -1.0
    return max(sorted(finished), key=lambda rate: sign * finished[rate])


def next_rate(scores: dict[float, float | None], *, higher_is_better: bool) -> float | None:
    """The rate to try next: beyond the edge on which the best lies; None when the sweep is over.

    Over means: the best lies inside the grid, or the grid has grown to MOST_RATES. Where every run
    diverged, smaller rates are tried.
    """
    if len(scores) >= MOST_RATES:
        return None
    best = best_rate(scores, higher_is_better=higher_is_better)
    if best is None or best == min(scores):
        return rounded(min(scores) / FACTOR)
    if best == max(scores):
        return rounded(max(scores) * FACTOR)
    return None


def on_edge(scores: dict[float, float | None], *, higher_is_better: bool) -> bool:
    """Whether the best rate lies on the edge of what was tried, so that a better one may lie beyond."""
    best = best_rate(scores, higher_is_better=higher_is_better)
    return best is None or best in (min(scores), max(scores))
