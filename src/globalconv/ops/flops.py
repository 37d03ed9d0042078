"""The flops of a global convolution by its two methods, forward and backward."""

import math

from globalconv.ops.interface import Mode


def direct_flops(length: int, num_taps: int, width: int) -> float:
    """Flops of the direct sum over one sequence: a multiply and an add per tap, position and channel."""
    return 2.0 * length * min(num_taps, length) * width


def real_transform_flops(points: int) -> float:
    """Flops of one real FFT of ``points`` numbers, forward or inverse: 5/2 n log2 n.

    This is half of the 5 n log2 n of the complex radix-2 transform that multiplies by every twiddle factor. Good
    libraries need about a fifth fewer (split radix: 2 n log2 n - ...); the convention is the field's.
    """
    return 2.5 * points * math.log2(max(points, 2))


def spectral_flops(length: int, width: int, *, wrapped: bool) -> float:
    """Flops of the convolution of one sequence by real FFTs, without the transform of the filter.

    About 5/2 n log2 n for each of the two real transforms of n points and 3 n for the product of the
    spectra (6 real operations on n/2 complex values); n is the length, or twice the length if nothing may
    wrap around. The batch shares the transform of the filter, so it is negligible.
    """
    return width * _by_transforms(length, transforms=2, products=1, wrapped=wrapped)


def global_conv_flops(length: int, num_taps: int, width: int, *, mode: Mode) -> float:
    """Flops of the cheaper of the two methods over one sequence of (length, width)."""
    wrapped = mode == "circular"
    direct = direct_flops(length, _lags(num_taps, mode), width)
    return min(direct, spectral_flops(length, width, wrapped=wrapped))


def global_conv_backward_flops(
    length: int,
    num_taps: int,
    width: int,
    *,
    mode: Mode,
    by_signal: bool = True,
    by_taps: bool = True,
    again: bool = False,
) -> float:
    """Flops of the gradients over one sequence, by the method that ``global_conv_flops`` uses for the result.

    ``by_signal`` and ``by_taps`` select the gradients, and ``again`` means that the result is recomputed
    (the gradient of a gate needs it). The spectral method transforms the gradient of y, and the signal for the
    last two, and inverts each result per sequence. The gradient of the taps is inverted once for the whole
    batch and is not counted, like the transform of the filter. The direct method takes one direct sum for each.
    """
    if not (by_signal or by_taps or again):
        return 0.0
    wanted = by_signal + by_taps + again
    direct = direct_flops(length, _lags(num_taps, mode), width)
    if direct <= global_conv_flops(length, num_taps, width, mode=mode):
        return wanted * direct
    down = (by_signal or by_taps) + (by_taps or again)
    up = by_signal + again
    return width * _by_transforms(length, transforms=down + up, products=wanted, wrapped=mode == "circular")


def _by_transforms(length: int, *, transforms: int, products: int, wrapped: bool) -> float:
    n = length if wrapped else 2 * length
    return transforms * real_transform_flops(n) + products * 3.0 * n


def _lags(num_taps: int, mode: Mode) -> int:
    return 2 * num_taps - 1 if mode == "bidirectional" else num_taps
