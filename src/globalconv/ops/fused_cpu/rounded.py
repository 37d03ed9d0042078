"""NumPy's numbers for ``arithmetic``, rounded as registers round: once for every operation, the fused one too."""

from typing import Any

import numpy as np


class Numbers:
    """An array of float32 or float64."""

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value)

    def __add__(self, other: Any) -> "Numbers":
        return Numbers(self.value + self._of(other))

    def __sub__(self, other: Any) -> "Numbers":
        return Numbers(self.value - self._of(other))

    def __mul__(self, other: Any) -> "Numbers":
        return Numbers(self.value * self._of(other))

    def __neg__(self) -> "Numbers":
        return Numbers(-self.value)

    def times_plus(self, other: Any, more: Any) -> "Numbers":
        return Numbers(fused_multiply_add(self.value, self._of(other), self._of(more)))

    def _of(self, other: Any) -> Any:
        return other.value if isinstance(other, Numbers) else self.value.dtype.type(other)


def fused_multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once, for arrays of one dtype, float32 or float64.

    A product of two float32 is exact in float64; a sum that is rounded there to odd may be rounded once more. In
    float64 the product is split into two numbers (Dekker), and its sum with c taken as in Boldo and Melquiond,
    "Emulation of a FMA and correctly rounded sums", IEEE Transactions on Computers 57, 2008.
    """
    if a.dtype == np.float32:
        wide_a, wide_b, wide_c = (np.asarray(number, np.float64) for number in (a, b, c))
        return _sum_to_odd(wide_a * wide_b, wide_c).astype(np.float32)
    product, below = _exact_product(a, b)
    low, error = _exact_sum(c, below)
    high, error_too = _exact_sum(product, low)
    return high + _sum_to_odd(error, error_too)


def _exact_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b as a rounded number and what that lacks (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _exact_product(a: Any, b: Any) -> tuple[Any, Any]:
    """a b as a rounded number and what that lacks (Dekker)."""
    (a0, a1), (b0, b1) = _halves(a), _halves(b)
    product = a * b
    return product, a1 * b1 - (((product - a0 * b0) - a1 * b0) - a0 * b1)


def _halves(a: Any) -> tuple[Any, Any]:
    large = a * (2.0**27 + 1)
    high = large - (large - a)
    return high, a - high


def _sum_to_odd(a: Any, b: Any) -> Any:
    """a + b, where it is inexact rounded to that neighbour whose last bit is 1."""
    total, error = _exact_sum(a, b)
    even = np.asarray(total).view(np.int64) % 2 == 0
    return np.where((error != 0) & even, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total)
