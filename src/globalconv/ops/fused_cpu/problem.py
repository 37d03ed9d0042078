"""From a convolution to a product modulo z^N - w: which N, which w, and where each tap goes."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from globalconv.ops.fused_cpu.transform import Node, circular_root, record, right_angle_root, size_for, smooth
from globalconv.ops.interface import Mode


class Segment(NamedTuple):
    """Taps that lie side by side in the rows, one tap a row."""

    tap: int  # the first
    row: int  # its row
    num_taps: int
    imaginary: int  # 0: they are the rows' real parts; 1: the imaginary ones
    sign: int
    again: int  # 1: a second place of taps that the first segment puts into the rows of their own numbers


SEGMENT = record(Segment)


@dataclass(frozen=True)
class Problem:
    """A convolution as the kernels compute it.

    Modulo ``root``. If that is a real node, z^N - 1, the second half of a signal lies as imaginary parts beside the
    first; if it is z^N - i, the result's real parts are the answer. ``segments`` (segments,): where the taps go.
    """

    root: Node
    segments: NDArray[np.void]


@lru_cache(maxsize=256)
def problem(mode: Mode, length: int, num_taps: int) -> Problem:
    """The cheapest way for this many taps; K <= L in circular mode, 2K-1 <= 2L-1 taps in bidirectional.

    Modulo z^N - i a lag of -j is z^-j = -i z^(N-j): a negated imaginary part. A circle that is odd, or
    whose length has a prime factor above 5, has no tree for real signals; there h[s] serves the lag s and
    the lag s - L, of which only one meets the signal.
    """
    if mode == "circular" and length % 2 == 0 and smooth(length):
        ahead = min(num_taps, length // 2)
        halves = [Segment(0, 0, ahead, 0, 1, 0), Segment(ahead, 0, num_taps - ahead, 1, 1, 0)]
        return Problem(circular_root(length), _table(halves))
    size = size_for(length)
    segments = [Segment(0, 0, num_taps, 0, 1, 0)]
    if mode == "bidirectional":
        behind = num_taps // 2
        segments = [Segment(behind, 0, behind + 1, 0, 1, 0), Segment(0, size - behind, behind, 1, -1, 0)]
    elif mode == "circular":
        segments.append(Segment(1, size - length + 1, num_taps - 1, 1, -1, 1))
    return Problem(right_angle_root(size), _table(segments))


def _table(segments: list[Segment]) -> NDArray[np.void]:
    return np.array([segment for segment in segments if segment.num_taps > 0], SEGMENT)
