"""Exponents of known power laws, with and without noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.measure.scaling import RESAMPLES, UPPER, fit_scaling

LENGTHS = [64 * 2**k for k in range(7)]


@given(exponent=st.floats(0.2, 3), scale=st.floats(1e-6, 1))
def test_a_pure_power_law_has_its_exponent_and_no_spread(exponent, scale):
    fit = fit_scaling({n: [scale * n**exponent] * 5 for n in LENGTHS}, flops=lambda n: float(n * n))
    assert fit.exponent == pytest.approx(exponent)
    assert fit.low == pytest.approx(exponent)
    assert fit.high == pytest.approx(exponent)
    assert fit.flops == pytest.approx(2)
    assert (fit.shortest, fit.longest) == (LENGTHS[-UPPER], LENGTHS[-1])


def test_only_the_upper_lengths_count():
    seconds = {n: [1e-3 + (n / 4096) ** 2] * 3 for n in LENGTHS}
    flat = dict.fromkeys(LENGTHS[:-UPPER], [5.0] * 3)
    assert fit_scaling(seconds | flat, flops=lambda _: None) == fit_scaling(seconds, flops=lambda _: None)


def test_the_interval_holds_the_truth_about_as_often_as_it_says(seed):
    """Seven noisy repetitions: a bootstrap of medians is coarse, so between 80 and 100 %."""
    generator = np.random.default_rng(seed)
    held = 0
    for _ in range(60):
        seconds = {n: list(n**1.5 * np.exp(0.1 * generator.normal(size=7))) for n in LENGTHS}
        fit = fit_scaling(seconds, flops=lambda _: None, seed=seed)
        assert fit.low <= fit.high
        assert fit.flops is None
        held += fit.low <= 1.5 <= fit.high
    assert held >= 0.75 * 60, f"{held} of 60"
    assert RESAMPLES >= 1000


def test_the_exponent_of_the_flops_is_local():
    fit = fit_scaling({n: [1.0, 1.1] for n in LENGTHS}, flops=lambda n: n * math.log2(n))
    assert 1 < fit.flops < 1.15


def test_two_points_are_no_curve():
    assert fit_scaling({64: [1.0] * 3, 128: [2.0] * 3}, flops=float) is None
