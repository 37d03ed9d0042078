"""The budget: what is planned fits by its own estimate, and more seconds never hold less."""

import heapq
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.study.design.budget import (
    COST_SECONDS,
    FEWER_SEEDS_BELOW,
    FEWEST_SEEDS,
    LADDER,
    Fitted,
    Load,
    Terms,
    fit_budget,
)
from globalconv.study.spec import WarmUp

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
        "fixed_sweep": st.booleans(),
        "fixed_seeds": st.booleans(),
        "fixed_steps": st.booleans(),
    }
)


def seconds(found, terms, *, scale, seeds):
    return asked_for(0.0, terms).seconds(found, scale, seeds)


def played(found, *, workers, sweep, seeds, later=2) -> float:
    """The seconds of a study, played through: each round's runs go, longest first, to the worker that is free first.

    A sweep has a grid of three runs of each arm, then ``later`` runs of each, one after another.
    """

    def round_of(times) -> float:
        free = [0.0] * workers
        for seconds in sorted(times, reverse=True):
            heapq.heappush(free, heapq.heappop(free) + seconds)
        return max(free)

    one = [load.steps * load.seconds_per_step + load.seconds_of_evaluations for load in found]
    swept = round_of(3 * one) + later * round_of(one) if sweep else 0.0
    return swept + round_of(seeds * one) + COST_SECONDS


@given(loads, st.integers(1, 32), st.booleans(), st.integers(1, 8))
@example([Load(1.0, 0.0, 600)] * 2, 16, True, 5)
def test_what_is_planned_is_what_the_rounds_take(found, workers, sweep, seeds):
    """Also where there are more workers than runs in a round: a confirmation waits for what it confirms."""
    told = {"workers": workers, "sweep": sweep, "seeds": seeds, "spent": 0.0}
    told |= dict.fromkeys(("fixed_sweep", "fixed_seeds", "fixed_steps"), True)
    planned, needed = (
        seconds(found, told, scale=1.0, seeds=seeds),
        played(found, workers=workers, sweep=sweep, seeds=seeds),
    )
    # Graham's bound: longest first is at most a third longer than the best that could be.
    assert planned >= needed / (4 / 3)
    at_most = played(found, workers=workers, sweep=sweep, seeds=seeds, later=3)
    assert planned <= at_most / 0.97 + 1e-6


@st.composite
def asked(draw: st.DrawFn):
    """(loads, budget, terms): budgets from too small by far to larger than can be used."""
    found, told = draw(loads), draw(terms)
    usual = seconds(found, told, scale=1.0, seeds=told["seeds"])
    return found, told["spent"] + usual * 2 ** draw(st.floats(-5, 3)), told


def fitted(found, budget, terms) -> Fitted | None:
    plan = fit_budget(found, asked_for(budget, terms), spent=terms["spent"])
    return plan if plan.fits else None


def asked_for(budget, terms) -> Terms:
    return Terms(budget=budget, **{name: value for name, value in terms.items() if name != "spent"})


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
def test_what_does_not_fit_is_the_least_there_is_and_is_told(question):
    found, budget, terms = question
    plan = fit_budget(found, asked_for(budget, terms), spent=terms["spent"])
    assert plan.fits == (terms["spent"] + plan.seconds <= budget)
    if not plan.fits:
        assert plan.seconds == pytest.approx(needed_at_least(found, terms))


@given(loads, st.integers(1, 16), st.integers(1, 8))
def test_a_coarse_sweep_costs_less_than_one_final_run_of_each_arm_and_a_little(found, workers, seeds):
    told = {"workers": workers, "seeds": seeds, "spent": 0.0}
    told |= dict.fromkeys(("fixed_sweep", "fixed_seeds", "fixed_steps"), True)
    coarse = replace(asked_for(0.0, told | {"sweep": True}), coarse=True)
    none = asked_for(0.0, told | {"sweep": False})
    one_run = replace(none, seeds=1)
    swept = coarse.seconds(found, 1.0, seeds) - none.seconds(found, 1.0, seeds)
    assert 0 < swept <= 1.3 * (one_run.seconds(found, 1.0, 1) - COST_SECONDS) * 3 + 1e-6
    assert swept < asked_for(0.0, told | {"sweep": True}).seconds(found, 1.0, seeds)


def needed_at_least(found, terms):
    seeds = terms["seeds"] if terms["fixed_seeds"] else min(terms["seeds"], FEWEST_SEEDS)
    return seconds(found, terms, scale=1.0 if terms["fixed_steps"] else min(LADDER), seeds=seeds)


def test_a_run_is_reckoned_with_its_evaluations_and_a_test_split_of_any_size():
    warm_up = WarmUp(
        seconds_per_step=0.5, seconds_per_evaluation=2.0, seconds_per_test=60.0, peak_memory_bytes=1
    )
    assert Load.of(warm_up, steps=10, evaluations=4).seconds() == 10 * 0.5 + (4 + 1) * 2.0 + 60.0


def test_a_study_that_fits_three_times_over_gets_more_steps():
    plan = fit_budget(
        [Load(seconds_per_step=0.01, seconds_of_evaluations=1.0, steps=500)] * 5,
        asked_for(
            300.0,
            {"workers": 2, "sweep": False, "seeds": 3}
            | dict.fromkeys(("fixed_sweep", "fixed_seeds", "fixed_steps"), False),
        ),
        spent=10.0,
    )
    assert plan.scale > 1
    assert plan.fits
