"""The learning rate over the steps, and the steps at which a run is validated."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from globalconv.training.fit import warmup_cosine
from tests.training.fake_task import settings

num_steps = st.integers(1, 400)


@given(steps=num_steps, warmup=st.floats(0, 0.99))
def test_rises_in_a_line_and_falls_to_nearly_nothing(steps, warmup):
    factor = warmup_cosine(settings(steps=steps, warmup=warmup))
    factors = [factor(step) for step in range(steps)]
    peak = min(round(warmup * steps), steps - 1)
    assert all(0 < value <= 1 for value in factors)
    assert max(factors) == factors[peak]
    if peak < round(warmup * steps):  # all of the steps are warm-up
        return
    assert math.isclose(factors[peak], 1.0)
    rises = [after - before for before, after in pairwise([0.0, *factors[: peak + 1]])]
    assert all(math.isclose(rise, 1 / (peak + 1)) for rise in rises)
    falls = factors[peak:]
    assert all(before > after for before, after in pairwise(falls))
    remaining = steps - peak
    assert math.isclose(factors[-1], 0.5 * (1 - math.cos(math.pi / remaining)), rel_tol=1e-6)
    assert factor(steps) < 1e-12


@given(steps=st.integers(2, 200).map(lambda half: 2 * half))
def test_the_cosine_is_half_way_down_in_the_middle(steps):
    assert math.isclose(warmup_cosine(settings(steps=steps, warmup=0.0))(steps // 2), 0.5)


@given(steps=num_steps, evaluations=st.integers(1, 50))
def test_evaluations_are_even_and_end_with_the_last_step(steps, evaluations):
    chosen = settings(steps=steps, evaluations=evaluations).evaluation_steps()
    assert len(chosen) == min(steps, evaluations)
    assert chosen[-1] == steps
    gaps = [after - before for before, after in pairwise([0, *chosen])]
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"weight_decay": -1.0},
        {"warmup": 1.0},
        {"clip_norm": 0.0},
        {"precision": "fp8"},
        {"step": 3},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings(**wrong)
