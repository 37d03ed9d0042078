"""Intervals over seeds against scipy's own, their coverage, and the seeds that are still missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from globalconv.study.answer.statistics import CONFIDENCE, MOST_SEEDS, estimate, further_seeds, half_width

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


@given(values)
def test_the_interval_is_student_s(found):
    ours = estimate(found)
    assert ours.mean == pytest.approx(np.mean(found), abs=1e-9)
    assert ours.num_seeds == len(found)
    sem = stats.sem(found)
    low, high = (
        stats.t.interval(CONFIDENCE, len(found) - 1, loc=np.mean(found), scale=sem) if sem else 2 * [found[0]]
    )
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9, rel=1e-9)


@given(values, st.floats(-100, 100), st.floats(0.01, 100))
def test_the_interval_moves_and_grows_with_the_values(found, shift, scale):
    before, after = estimate(found), estimate([shift + scale * v for v in found])
    for bound in ("mean", "low", "high"):
        assert getattr(after, bound) == pytest.approx(shift + scale * getattr(before, bound), abs=1e-6)


@given(st.floats(-1e6, 1e6))
def test_one_value_has_no_interval(value):
    alone = estimate([value])
    assert (alone.mean, alone.low, alone.high, alone.num_seeds) == (value, None, None, 1)


@pytest.mark.parametrize("num_seeds", [2, 3, 5, 10])
def test_the_interval_holds_the_truth_as_often_as_it_says(num_seeds, seed):
    rng = np.random.default_rng(seed)
    studies = 4000
    found = [estimate(row) for row in rng.normal(1.5, 0.2, size=(studies, num_seeds))]
    held = np.mean([e.low <= 1.5 <= e.high for e in found if e.low is not None and e.high is not None])
    assert held == pytest.approx(CONFIDENCE, abs=5 * (CONFIDENCE * (1 - CONFIDENCE) / studies) ** 0.5)


@given(st.floats(0, 10), st.integers(2, 100))
def test_more_seeds_narrow_the_interval(deviation, num_seeds):
    assert half_width(deviation, num_seeds + 1) <= half_width(deviation, num_seeds)
    assert half_width(2 * deviation, num_seeds) == pytest.approx(2 * half_width(deviation, num_seeds))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(-1, 1))
def test_further_seeds_are_the_fewest_that_clear_the_boundary(found, boundary):
    gap, deviation = abs(np.mean(found) - boundary), np.std(found, ddof=1)

    def clears(num_seeds):
        return half_width(float(deviation), num_seeds) < gap

    further = further_seeds(found, boundary)
    if further is None:
        assert not clears(MOST_SEEDS)
    else:
        assert 1 <= further <= MOST_SEEDS - len(found)
        assert clears(len(found) + further)
        assert further == 1 or not clears(len(found) + further - 1)


def test_one_seed_shows_no_spread_to_plan_with():
    assert further_seeds([0.3], 0.0) is None
    assert further_seeds([], 0.0) is None
