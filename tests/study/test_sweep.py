"""The sweep: it finds the peak of any one-peaked curve, or says that it did not, and repeats no rate."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.study.sweep import (
    FACTOR,
    MOST_RATES,
    START_SIZE,
    SWEEP_SEED,
    best_rate,
    first_grid,
    next_rate,
    on_edge,
    rounded,
)

Curve = Callable[[float], float | None]
rates = st.floats(math.log(1e-7), math.log(1e2)).map(math.exp)
ROUNDING = 1.06
"""Two digits move a rate by 5 % at most."""


@st.composite
def curves(draw: st.DrawFn) -> tuple[Curve, float, float, bool]:
    """(curve, its peak, where runs begin to diverge, direction): steep or flat on either side."""
    peak, higher = draw(rates), draw(st.booleans())
    below, above = draw(st.floats(0.01, 5)), draw(st.floats(0.01, 5))
    power = draw(st.sampled_from([0.5, 1.0, 2.0]))
    diverges = draw(st.one_of(st.just(math.inf), st.floats(0.001, 1e3).map(lambda factor: factor * peak)))

    def curve(rate: float) -> float | None:
        if rate >= diverges:
            return None
        off = math.log(rate / peak)
        loss = (above if off > 0 else below) * abs(off) ** power
        return -loss if higher else loss

    return curve, peak, diverges, higher


def swept(curve: Curve, middle: float, *, higher: bool) -> dict[float, float | None]:
    scores = {rate: curve(rate) for rate in first_grid(middle)}
    while (rate := next_rate(scores, higher_is_better=higher)) is not None:
        assert rate not in scores, "a rate is tried twice"
        assert not min(scores) < rate < max(scores), "the grid grows at its ends"
        scores[rate] = curve(rate)
        assert len(scores) <= MOST_RATES
    return scores


@given(curves(), rates)
def test_the_peak_is_inside_or_the_grid_is_full(drawn, middle):
    curve, peak, diverges, higher = drawn
    scores = swept(curve, middle, higher=higher)
    best = best_rate(scores, higher_is_better=higher)
    if on_edge(scores, higher_is_better=higher):
        assert len(scores) == MOST_RATES
        return
    assert best is not None
    assert min(scores) < best < max(scores)
    # What trains has its own peak: the curve's, or the largest rate that does not diverge.
    true_peak = min(peak, diverges)
    assert 1 / (FACTOR * ROUNDING) <= best / true_peak <= FACTOR * ROUNDING


@given(curves(), rates)
def test_a_peak_near_the_middle_is_always_found(drawn, middle):
    curve, peak, diverges, higher = drawn
    reach = FACTOR ** ((MOST_RATES - START_SIZE) / 2)
    near = peak * math.exp(math.remainder(math.log(middle / peak), math.log(reach)))
    scores = swept(curve, near, higher=higher)
    if diverges > reach * FACTOR * ROUNDING * near:
        assert not on_edge(scores, higher_is_better=higher)


@given(curves(), rates)
def test_a_sweep_repeats_itself(drawn, middle):
    curve, _, _, higher = drawn
    first, second = (swept(curve, middle, higher=higher) for _ in range(2))
    assert list(first.items()) == list(second.items())


@given(curves(), rates)
def test_direction_is_a_sign(drawn, middle):
    curve, _, _, higher = drawn
    mirrored = swept(lambda r: None if (v := curve(r)) is None else -v, middle, higher=not higher)
    straight = swept(curve, middle, higher=higher)
    assert list(mirrored) == list(straight)
    assert best_rate(mirrored, higher_is_better=not higher) == best_rate(straight, higher_is_better=higher)


@given(rates)
def test_where_everything_diverges_smaller_rates_are_tried(middle):
    scores = swept(lambda rate: None, middle, higher=True)
    assert len(scores) == MOST_RATES
    assert list(scores)[START_SIZE:] == sorted(list(scores)[START_SIZE:], reverse=True)
    assert max(list(scores)[START_SIZE:]) < min(first_grid(middle))
    assert best_rate(scores, higher_is_better=True) is None
    assert on_edge(scores, higher_is_better=True)


@given(st.dictionaries(rates.map(rounded), st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=9))
def test_any_next_rate_is_new_and_written_with_two_digits(scores):
    for higher in (False, True):
        rate = next_rate(scores, higher_is_better=higher)
        if rate is not None:
            assert len(scores) < MOST_RATES
            assert on_edge(scores, higher_is_better=higher)
            assert rate not in scores
            assert rate == rounded(rate)
            assert rate < min(scores) or rate > max(scores)
        else:
            assert len(scores) >= MOST_RATES or not on_edge(scores, higher_is_better=higher)


@given(rates)
def test_a_diverged_rate_is_an_edge_that_holds(middle):
    """The best just below a rate that diverges is inside the grid: there is nothing beyond to find."""
    low, mid, high = first_grid(middle)
    assert next_rate({low: 0.1, mid: 0.5, high: None}, higher_is_better=True) is None
    assert next_rate({low: 0.5, mid: None, high: None}, higher_is_better=True) == rounded(low / FACTOR)


@given(rates)
def test_a_tie_goes_to_the_smaller_rate(middle):
    low, mid, high = first_grid(middle)
    assert best_rate({high: 0.5, low: 0.1, mid: 0.5}, higher_is_better=True) == mid
    assert best_rate({high: 0.5, low: 0.9, mid: 0.5}, higher_is_better=False) == mid


@given(rates)
def test_rounding_keeps_two_digits(rate):
    assert rounded(rate) == pytest.approx(rate, rel=0.0501)
    assert rounded(rounded(rate)) == rounded(rate)
    assert float(f"{rounded(rate):.2g}") == rounded(rate)


@given(rates)
def test_the_first_grid_is_half_decades_around_the_middle(middle):
    grid = first_grid(middle)
    assert len(set(grid)) == START_SIZE
    assert grid[1] == rounded(middle)
    for small, large in pairwise(grid):
        assert large / small == pytest.approx(FACTOR, rel=0.11)


def test_the_seed_that_chooses_a_rate_judges_none():
    assert SWEEP_SEED > 1_000_000
