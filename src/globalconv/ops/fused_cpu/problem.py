"""From a convolution to a product modulo z^N - w: which N, which w, and where each tap goes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from globalconv.ops.fused_cpu.transform import size_for, smooth
from globalconv.ops.interface import Mode

REAL, IMAGINARY = 0, 1


@dataclass(frozen=True)
class Problem:
    """A convolution as the kernels compute it.

    ``circular``: modulo z^size - 1, the second half of a signal as imaginary parts beside the first;
    else modulo z^size - i, and the result's real parts are the answer. ``places`` int64 (segments, 6):
    where the taps go: (first tap, row of the first, how many, REAL or IMAGINARY, sign, whether it is
    a second place of taps that the first segment puts into their own rows, and then imaginary and negated).
    """

    size: int
    circular: bool
    places: NDArray[np.int64]


@lru_cache(maxsize=256)
def problem(mode: Mode, length: int, num_taps: int) -> Problem:
    """The cheapest way for this many taps; K <= L in circular mode, 2K-1 <= 2L-1 taps in bidirectional.

    Modulo z^N - i a lag of -j is z^-j = -i z^(N-j): a negated imaginary part. A circle that is odd, or
    whose length has a prime factor above 5, has no tree for real signals; there h[s] serves the lag s and
    the lag s - L, of which only one meets the signal.
    """
    if mode == "circular" and length % 2 == 0 and smooth(length):
        half = length // 2
        ahead = min(num_taps, half)
        halves = [(0, 0, ahead, REAL, 1, 0), (ahead, 0, num_taps - ahead, IMAGINARY, 1, 0)]
        return Problem(length, True, _places(halves))
    size = size_for(length)
    segments = [(0, 0, num_taps, REAL, 1, 0)]
    if mode == "bidirectional":
        behind = num_taps // 2
        segments = [(behind, 0, behind + 1, REAL, 1, 0), (0, size - behind, behind, IMAGINARY, -1, 0)]
    elif mode == "circular":
        segments.append((1, size - length + 1, num_taps - 1, IMAGINARY, -1, 1))
    return Problem(size, False, _places(segments))


def _places(segments: list[tuple[int, int, int, int, int, int]]) -> NDArray[np.int64]:
    return np.array([segment for segment in segments if segment[2] > 0], np.int64)
