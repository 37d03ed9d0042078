"""Where power laws cross, where they do not, and what is said of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.cost.crossover import crossover, crossover_in_theory

LENGTHS = [64 * 2**k for k in range(8)]
factors = st.floats(0.1, 10)


@given(at=st.floats(70, 8000), slow=st.floats(1.2, 3), fast=st.floats(0.1, 1), scale=factors)
def test_power_laws_cross_where_they_do(at, slow, fast, scale):
    rival = {n: scale * (n / at) ** slow for n in LENGTHS}
    challenger = {n: scale * (n / at) ** fast for n in LENGTHS}
    found = crossover(challenger, rival)
    assert found.length == pytest.approx(at, rel=1e-6)
    assert found.before <= at <= found.after
    assert found.after == 2 * found.before
    assert found.longest == LENGTHS[-1]
    turned = crossover(rival, challenger)  # below only at first, so it never stays below
    assert (turned.length, turned.before) == (None, LENGTHS[-1])


def test_below_from_the_first_on():
    found = crossover({64: 1, 128: 2}, {64: 2, 128: 4, 256: 8})
    assert (found.length, found.before, found.after, found.longest) == (64, None, 64, 128)


def test_what_falls_below_and_rises_again_has_not_crossed():
    rival = dict.fromkeys(LENGTHS, 1.0)
    dips = dict(zip(LENGTHS, [2, 0.5, 2, 0.5, 0.5, 0.5, 0.5, 0.5], strict=True))
    assert crossover(dips, rival).before == LENGTHS[2]
    dips[LENGTHS[-1]] = 1.0  # equal is not below
    assert crossover(dips, rival).length is None


def test_nothing_in_common():
    assert crossover({64: 1.0}, {128: 1.0}) is None


@given(at=st.integers(2, 60000))
def test_formulas_cross_at_the_exact_length(at):
    found = crossover_in_theory(lambda n: n, lambda n: n * n / (at - 0.5), longest=65536)
    assert (found.length, found.before, found.after) == (at, at - 1, at)


def test_formulas_that_never_cross_or_always_have():
    assert crossover_in_theory(lambda n: n, lambda n: n + 1, longest=100).before is None
    assert crossover_in_theory(lambda n: n + 1, lambda n: n, longest=100).length is None
