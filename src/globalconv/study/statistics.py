"""Means over seeds with their intervals, and how many more seeds would settle a question."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from globalconv.study.answer import Estimate

CONFIDENCE = 0.95
MOST_SEEDS = 200
"""No one runs more: a difference that needs them is as good as none."""


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


def further_seeds(differences: Sequence[float], boundary: float) -> int | None:
    """How many more seeds would lift the interval clear of ``boundary``, at the spread seen so far.

    None when more than MOST_SEEDS would be needed, or when one seed alone shows no spread.
    """
    if len(differences) < 2:
        return None
    mean, deviation = float(np.mean(differences)), float(np.std(differences, ddof=1))
    for num_seeds in range(len(differences) + 1, MOST_SEEDS + 1):
        if half_width(deviation, num_seeds) < abs(mean - boundary):
            return num_seeds - len(differences)
    return None
