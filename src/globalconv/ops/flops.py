"""How many flops a global convolution needs, by the two formulas."""

import math
from typing import Literal


def direct_flops(length: int, num_taps: int, width: int) -> float:
    """Flops of the direct sum over one sequence: a multiply and an add per tap, position and channel."""
    return 2.0 * length * min(num_taps, length) * width


def spectral_flops(length: int, width: int, *, wrapped: bool) -> float:
    """Flops of the convolution of one sequence by real FFTs, the filter's own transform not counted.

    About 5/2 n log2 n for each of the two real transforms of n points and 3 n for the product of the
    spectra (6 real operations on n/2 complex values); n is the length, or twice it where nothing may
    wrap around. The filter's transform is shared by the batch and vanishes in it.
    """
    n = length if wrapped else 2 * length
    return width * (5.0 * n * math.log2(max(n, 2)) + 3.0 * n)


def global_conv_flops(
    length: int, num_taps: int, width: int, *, mode: Literal["circular", "causal", "bidirectional"]
) -> float:
    """Flops of the cheaper of the two methods over one sequence of (length, width)."""
    lags = 2 * num_taps - 1 if mode == "bidirectional" else num_taps
    return min(direct_flops(length, lags, width), spectral_flops(length, width, wrapped=mode == "circular"))
