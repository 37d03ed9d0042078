"""The formulas of ops.flops against algorithms that count every sum and product they do."""

import math
import random

import numpy as np
import pytest

from globalconv.ops.flops import direct_flops, real_transform_flops, spectral_flops
from tests.measure.counted_numbers import (
    Complex,
    Counted,
    Tally,
    direct_sum,
    radix2,
    real_transform,
    split_radix,
)

SIZES = [4, 8, 64, 512]


def drawn(n, tally, seed):
    generator = random.Random(seed)
    return [Counted(generator.gauss(0, 1), tally) for _ in range(n)]


def values(numbers):
    return np.array([number.value for number in numbers])


@pytest.mark.parametrize("num_taps", [1, 3, 12])
@pytest.mark.parametrize("causal", [False, True])
def test_the_direct_sum_takes_exactly_the_formulas_flops(num_taps, causal, seed):
    tally, length = Tally(), 12
    x, taps = drawn(length, tally, seed), drawn(num_taps, tally, seed + 1)
    y = direct_sum(x, taps, tally, causal=causal, zeros=True)
    assert tally.flops == direct_flops(length, num_taps, 1)
    assert tally.additions == tally.multiplications
    full = np.convolve(values(x), values(taps))
    wrapped = full[:length].copy()
    if not causal:
        wrapped[: num_taps - 1] += full[length:]
    np.testing.assert_allclose(values(y), wrapped, atol=1e-12)


def test_a_causal_sum_that_skipped_the_zeros_would_take_half(seed):
    """The backend multiplies by the zeros before the sequence; the formula says what it does."""
    tally, length = Tally(), 16
    direct_sum(drawn(length, tally, seed), drawn(length, tally, seed), tally, causal=True, zeros=False)
    assert tally.flops == length * (length + 1)
    assert direct_flops(length, length, 1) == 2 * length**2


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("transform", "formula"),
    [
        (radix2, lambda n: 5 * n * math.log2(n)),
        (split_radix, lambda n: 4 * n * math.log2(n) - 6 * n + 8),
    ],
)
def test_a_complex_transform_takes_what_the_literature_says(n, transform, formula, seed):
    tally = Tally()
    x = [Complex(a, b) for a, b in zip(drawn(n, tally, seed), drawn(n, tally, seed + 1), strict=True)]
    y = transform(x, tally)
    assert tally.flops == formula(n)
    np.testing.assert_allclose(values(y), np.fft.fft(values(x)), atol=1e-9)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("transform", "least", "most"), [(radix2, 0.9, 1.1), (split_radix, 0.59, 0.85)])
def test_a_real_transform_is_near_the_convention(n, transform, least, most, seed):
    """5/2 n log2 n: within a tenth of radix 2 (from 64 points on), and never below split radix."""
    tally = Tally()
    x = drawn(n, tally, seed)
    bins = real_transform(x, transform, tally)
    np.testing.assert_allclose(values(bins) / 2, np.fft.rfft(values(x)), atol=1e-9)
    ratio = tally.flops / real_transform_flops(n)
    if n >= 64:
        assert least < ratio < most


@pytest.mark.parametrize("length", [64, 256])
def test_a_convolution_by_transforms_is_near_its_formula(length, seed):
    """Two transforms and a product; the filter's transform is not counted, and the scaling is put into it."""
    tally = Tally()
    x, taps = drawn(length, tally, seed), drawn(length, tally, seed + 1)
    spectrum = [Complex(Counted(z.real, tally), Counted(z.imag, tally)) for z in np.fft.rfft(values(taps))]
    there = real_transform(x, radix2, tally)
    product = [a * b for a, b in zip(there, spectrum, strict=True)]
    counted = tally.flops + tally.flops - 6 * (length // 2 + 1)  # the way back is the way there, transposed
    y = np.fft.irfft(values(product) / 2, length)
    expected = np.fft.irfft(np.fft.rfft(values(x)) * np.fft.rfft(values(taps)), length)
    np.testing.assert_allclose(y, expected, atol=1e-9)
    assert counted == pytest.approx(spectral_flops(length, 1, wrapped=True), rel=0.1)
    assert 6 * (length // 2 + 1) == 3 * length + 6
