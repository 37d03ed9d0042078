"""Means with their intervals, over seeds and over test examples, and how many more seeds would settle a question."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from globalconv.study.schema import Estimate

CONFIDENCE = 0.95
MOST_SEEDS = 200
"""A difference that needs more seeds than this is as good as none."""


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of ``values`` with Student's t interval; a single value has none."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean=mean, low=None, high=None, num_seeds=len(values))
    half = half_width(float(np.std(values, ddof=1)), len(values))
    return Estimate(mean=mean, low=mean - half, high=mean + half, num_seeds=len(values))


def half_width(deviation: float, num_seeds: int) -> float:
    """Half the width of the t interval of ``num_seeds`` values of standard deviation ``deviation``."""
    return _quantile(num_seeds) * deviation / math.sqrt(num_seeds)


@cache
def _quantile(num_seeds: int) -> float:
    return float(stats.t.ppf(0.5 + CONFIDENCE / 2, num_seeds - 1))


def percentile_interval(resampled: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of a statistic's values on resampled examples (the percentile bootstrap)."""
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def joined(over_seeds: Estimate, over_examples: Estimate | None) -> Estimate:
    """One interval for two independent sources of chance: on each side the root of the sum of their squares."""
    if over_examples is None or over_seeds.low is None or over_seeds.high is None:
        return over_seeds
    assert over_examples.low is not None
    assert over_examples.high is not None
    mean = over_seeds.mean
    # A percentile interval need not hold the mean; a side of it that does not is no width.
    below = math.hypot(mean - over_seeds.low, max(mean - over_examples.low, 0.0))
    above = math.hypot(over_seeds.high - mean, max(over_examples.high - mean, 0.0))
    return over_seeds.model_copy(update={"low": mean - below, "high": mean + above})


def further_seeds(differences: Sequence[float], boundary: float, *, besides: float = 0.0) -> int | None:
    """How many more seeds would lift the interval clear of ``boundary``, at the spread seen so far.

    ``besides``: the half width that no seed narrows, because it comes from the test examples. None when more
    than MOST_SEEDS would be needed, or when one seed alone shows no spread.
    """
    if len(differences) < 2:
        return None
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    for num_seeds in range(len(differences) + 1, MOST_SEEDS + 1):
        if math.hypot(half_width(deviation, num_seeds), besides) < abs(mean - boundary):
            return num_seeds - len(differences)
    return None
