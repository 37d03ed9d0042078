"""The budget: what is planned fits by its own estimate, more seconds never hold less, and errors name a way out."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.study.budget import (
    COST_SECONDS,
    FEWER_SEEDS_BELOW,
    FEWEST_SEEDS,
    LADDER,
    PARALLEL_EFFICIENCY,
    SWEEP_RUNS,
    Fitted,
    Load,
    fit_budget,
)

loads = st.lists(
    st.builds(
        Load,
        seconds_per_step=st.floats(1e-4, 1.0),
        seconds_of_evaluations=st.floats(0.0, 60.0),
        steps=st.integers(1, 2000),
    ),
    min_size=2,
    max_size=12,
)
terms = st.fixed_dictionaries(
    {
        "spent": st.floats(0.0, 100.0),
        "workers": st.integers(1, 16),
        "sweep": st.booleans(),
        "seeds": st.sampled_from([1, 2, 3, 5, 8]),
        "fixed_seeds": st.booleans(),
        "fixed_steps": st.booleans(),
    }
)


def seconds(found, terms, *, scale, seeds):
    runs = seeds + (SWEEP_RUNS if terms["sweep"] else 0)
    once = sum(scale * load.steps * load.seconds_per_step + load.seconds_of_evaluations for load in found)
    return runs * once / (terms["workers"] * PARALLEL_EFFICIENCY) + COST_SECONDS


@st.composite
def asked(draw: st.DrawFn):
    """(loads, budget, terms): budgets from too small by far to larger than can be used."""
    found, told = draw(loads), draw(terms)
    usual = seconds(found, told, scale=1.0, seeds=told["seeds"])
    return found, told["spent"] + usual * 2 ** draw(st.floats(-5, 3)), told


def fitted(found, budget, terms) -> Fitted | None:
    try:
        return fit_budget(found, budget=budget, **terms)
    except InputError:
        return None


@given(asked())
def test_what_is_planned_fits(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    least_seeds = terms["seeds"] if terms["fixed_seeds"] else min(terms["seeds"], FEWEST_SEEDS)
    least_scale = 1.0 if terms["fixed_steps"] else min(LADDER)
    if plan is None:
        assert terms["spent"] + seconds(found, terms, scale=least_scale, seeds=least_seeds) > budget
        return
    assert plan.seconds == pytest.approx(seconds(found, terms, scale=plan.scale, seeds=plan.seeds))
    assert terms["spent"] + plan.seconds <= budget
    assert least_seeds <= plan.seeds <= terms["seeds"]
    assert plan.scale in LADDER


@given(asked())
def test_the_next_step_of_the_ladder_would_not_fit(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None and not terms["fixed_steps"] and plan.scale < max(LADDER):
        larger = min(scale for scale in LADDER if scale > plan.scale)
        assert terms["spent"] + seconds(found, terms, scale=larger, seeds=plan.seeds) > budget


@given(asked())
def test_seeds_go_only_where_steps_would_shrink_too_far(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None and plan.seeds < terms["seeds"]:
        scales = [1.0] if terms["fixed_steps"] else [s for s in LADDER if s >= FEWER_SEEDS_BELOW]
        needed = min(seconds(found, terms, scale=s, seeds=terms["seeds"]) for s in scales)
        assert terms["spent"] + needed > budget


@given(asked(), st.floats(1.0, 3.0))
def test_more_seconds_never_hold_less(question, factor):
    found, budget, terms = question
    small, large = fitted(found, budget, terms), fitted(found, budget * factor, terms)
    if small is not None:
        assert large is not None
        assert large.seconds >= small.seconds
        assert (large.seeds, large.scale) >= (small.seeds, small.scale)


@given(asked())
def test_cheaper_arms_and_more_workers_never_hold_less(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None:
        halved = [replace(load, seconds_per_step=load.seconds_per_step / 2) for load in found]
        for easier in (
            fitted(halved, budget, terms),
            fitted(found, budget, terms | {"workers": terms["workers"] + 1}),
            fitted(found, budget, terms | {"sweep": False}),
        ):
            assert easier is not None
            assert (easier.seeds, easier.scale) >= (plan.seeds, plan.scale)


@given(asked())
def test_what_the_user_fixed_is_not_touched(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None:
        assert not terms["fixed_steps"] or plan.scale == 1.0
        assert not terms["fixed_seeds"] or plan.seeds == terms["seeds"]


@given(asked())
def test_every_cut_is_told_and_nothing_else(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None:
        told = " ".join(plan.cuts)
        assert (f"{plan.seeds} seeds instead of {terms['seeds']}" in told) == (plan.seeds < terms["seeds"])
        assert (f"{plan.scale:.0%} of the usual steps" in told) == (plan.scale < 1)
        assert len(plan.cuts) == (plan.seeds < terms["seeds"]) + (plan.scale < 1)


@given(loads, terms)
def test_the_error_names_a_budget_that_works(found, terms):
    with pytest.raises(InputError) as error:
        fit_budget(found, budget=terms["spent"] + COST_SECONDS, **terms)
    message = str(error.value)
    named = re.search(r"Give it --budget (\d+)s or more", message)
    assert named is not None
    budget = float(named[1])
    assert fitted(found, budget, terms) is not None
    slower = terms | {"spent": 1.09 * terms["spent"]}
    assert fitted(found, budget, slower) is not None, "a second measurement may take a little longer"
    assert budget <= 1.1 * (terms["spent"] + needed_at_least(found, terms)) + 1, "and no more than that"
    for option, named_too in (
        ("--steps", terms["fixed_steps"]),
        ("--seeds", terms["fixed_seeds"]),
        ("--no-sweep", terms["sweep"]),
    ):
        assert (option in message) == named_too


def needed_at_least(found, terms):
    seeds = terms["seeds"] if terms["fixed_seeds"] else min(terms["seeds"], FEWEST_SEEDS)
    return seconds(found, terms, scale=1.0 if terms["fixed_steps"] else min(LADDER), seeds=seeds)


def test_a_study_that_fits_three_times_over_gets_more_steps():
    plan = fit_budget(
        [Load(seconds_per_step=0.01, seconds_of_evaluations=1.0, steps=500)] * 5,
        budget=300.0,
        spent=10.0,
        workers=2,
        sweep=False,
        seeds=3,
        fixed_seeds=False,
        fixed_steps=False,
    )
    assert plan.scale > 1
    assert plan.cuts == ()
