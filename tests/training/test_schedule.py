"""The learning rate over the steps, and the steps at which a run is validated."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from globalconv.errors import InputError
from globalconv.training.recipe import original_recipe
from globalconv.training.schedule import inverse_sqrt, rate_factor, warmup_cosine
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


@given(width=st.sampled_from([64, 512, 1024]), warmup_steps=st.integers(1, 300))
def test_the_original_recipe_has_the_papers_rates(width: int, warmup_steps: int):
    recipe = original_recipe(width, steps=400, batch_size=8, warmup_steps=warmup_steps)
    factor = rate_factor(recipe)
    for number in range(1, 401):  # equation 3 counts from 1
        paper = width**-0.5 * min(number**-0.5, number * warmup_steps**-1.5)
        assert math.isclose(recipe.learning_rate * factor(number - 1), paper, rel_tol=1e-9)


def test_the_schedule_is_the_one_asked_for():
    cosine, root = settings(), settings(schedule="inverse_sqrt")
    assert [rate_factor(cosine)(s) for s in range(40)] == [warmup_cosine(cosine)(s) for s in range(40)]
    assert [rate_factor(root)(s) for s in range(40)] == [inverse_sqrt(root)(s) for s in range(40)]
    assert rate_factor(root)(39) > 0.2 > rate_factor(cosine)(39)


def test_a_warm_up_without_an_end_is_refused():
    for warmup_steps in (0, 400):
        with pytest.raises(InputError, match="warmup_steps"):
            original_recipe(64, steps=400, batch_size=8, warmup_steps=warmup_steps)


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
        {"label_smoothing": 1.0},
        {"betas": (0.9, 1.0)},
        {"epsilon": 0.0},
        {"schedule": "linear"},
        {"precision": "fp8"},
        {"step": 3},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        settings(**wrong)
