"""How a cost grows with the length: the exponent of a power law, fitted to the upper lengths, with an interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

UPPER = 4
"""The number of longest lengths that are fitted: below, the fixed cost of a call flattens the curve."""
FEWEST = 3
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Scaling:
    """Seconds grow as length^exponent over ``shortest`` to ``longest``, with a 95 % interval.

    ``flops``: the exponent of the flops over the same lengths, None where they are not known.
    """

    exponent: float
    low: float
    high: float
    flops: float | None
    shortest: int
    longest: int


def fit_scaling(
    seconds: Mapping[int, Sequence[float]], *, flops: Callable[[int], float | None], seed: int = 0
) -> Scaling | None:
    """Least squares of log median seconds on log length; None for fewer than three lengths.

    The interval (95 %) is a bootstrap over the repetitions: each length's are resampled with replacement, and
    the medians fitted again. It holds the noise of the clock; not that the curve may not be a power law, nor what
    another run on another day would give.
    """
    lengths = sorted(seconds)[-UPPER:]
    if len(lengths) < FEWEST:
        return None
    generator = np.random.default_rng(seed)
    medians = np.array([np.median(seconds[length]) for length in lengths])
    drawn = np.stack(
        [
            np.median(generator.choice(np.asarray(seconds[at]), size=(RESAMPLES, len(seconds[at]))), axis=1)
            for at in lengths
        ],
        axis=1,
    )
    low, high = np.quantile(_slopes(lengths, drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    known = [flops(length) for length in lengths]
    of_flops = None if None in known else float(_slopes(lengths, np.array(known, dtype=float)))
    return Scaling(
        float(_slopes(lengths, medians)), float(low), float(high), of_flops, lengths[0], lengths[-1]
    )


def _slopes(lengths: Sequence[int], costs: np.ndarray) -> np.ndarray:
    """The slope of log cost on log length, along the last dimension."""
    x = np.log(np.asarray(lengths, dtype=float))
    x = x - x.mean()
    return np.log(costs) @ x / (x @ x)
