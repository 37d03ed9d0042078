"""The budget: what is planned fits by its own estimate, more seconds never hold less, and errors name a way out."""

import heapq
import math
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.quantities import format_duration, parse_duration
from globalconv.study.budget import (
    COST_SECONDS,
    FEWER_SEEDS_BELOW,
    FEWEST_SEEDS,
    LADDER,
    Fitted,
    Load,
    Terms,
    check_spent,
    fit_budget,
)
from globalconv.study.presets import SERIOUS_BUDGET_SECONDS

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
    try:
        return fit_budget(found, asked_for(budget, terms), spent=terms["spent"])
    except InputError:
        return None


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
@example(
    (
        [Load(1.0, 0.0, 600)] * 2,
        1200.0,
        {"spent": 10.0, "workers": 1, "sweep": False, "seeds": 3}
        | dict.fromkeys(("fixed_sweep", "fixed_seeds", "fixed_steps"), False),
    )
)
def test_every_cut_is_told_and_nothing_else(question):
    found, budget, terms = question
    plan = fitted(found, budget, terms)
    if plan is not None:
        told = " ".join(plan.cuts)
        assert (f"{plan.seeds} seeds instead of {terms['seeds']}" in told) == (plan.seeds < terms["seeds"])
        assert (f"{plan.scale:.0%} of the usual steps" in told) == (plan.scale < 1)
        if plan.scale < 1:
            whole = terms["spent"] + seconds(found, terms, scale=1.0, seeds=plan.seeds)
            assert f"would take about {format_duration(whole)} here" in told
            crosses = budget < SERIOUS_BUDGET_SECONDS <= whole
            # Between: what is told is rounded up to the minute.
            assert ("the defaults are larger" in told) == crosses or abs(whole - SERIOUS_BUDGET_SECONDS) < 60
        assert len(plan.cuts) == (plan.seeds < terms["seeds"]) + (plan.scale < 1)


@given(loads, terms)
def test_the_error_names_a_budget_that_works(found, terms):
    message = refused(found, terms["spent"] + COST_SECONDS, terms)
    named = re.search(
        r"Give it at least --budget (\w+)(; from --budget 30m on the defaults are larger)?", message
    )
    assert named is not None
    budget = parse_duration(named[1])
    crosses = terms["spent"] + COST_SECONDS < SERIOUS_BUDGET_SECONDS <= budget
    assert (named[2] is not None) == crosses
    # With such a budget rates are swept, unless it was said whether they are.
    then = terms | {"sweep": terms["sweep"] or (crosses and not terms["fixed_sweep"])}
    assert fitted(found, budget, then) is not None
    slower = then | {"spent": 1.09 * terms["spent"]}
    assert fitted(found, budget, slower) is not None, "a second measurement may take a little longer"
    enough = 1.1 * (terms["spent"] + needed_at_least(found, then))
    assert budget <= math.ceil(enough / 60) * 60 + 60 or budget <= enough + 3600, "and no more than that"
    assert_ways_out(message, found, terms)


def refused(found, budget, terms) -> str:
    with pytest.raises(InputError) as error:
        fit_budget(found, asked_for(budget, terms), spent=terms["spent"])
    return str(error.value)


def assert_ways_out(message, found, terms):
    # One seed alone gives no verdict; and where there are workers for all, fewer seeds take as long.
    two = terms | {"seeds": min(2, terms["seeds"]), "fixed_seeds": True}
    for option, named_too in (
        ("--steps", terms["fixed_steps"]),
        ("--seeds", needed_at_least(found, two) < needed_at_least(found, terms)),
        ("--no-sweep", terms["sweep"]),
    ):
        assert (option in message) == named_too


@given(loads, terms)
def test_every_way_out_that_is_named_makes_it_cheaper(found, terms):
    """Also the number of seeds, where none was asked for: then three are the fewest, unless it is said."""
    message = refused(found, terms["spent"] + COST_SECONDS, terms)
    needed = needed_at_least(found, terms)
    if "--seeds" in message:
        named = re.search(r"--seeds (\d+) \(which tell less than 3\)", message)
        assert (named is None) == terms["fixed_seeds"]
        fewer = int(named[1]) if named else 2
        asked = terms | {"seeds": fewer, "fixed_seeds": True}
        assert needed_at_least(found, asked) < needed
        assert fitted(found, terms["spent"] + needed_at_least(found, asked) * 1.001, asked) is not None
    if "--no-sweep" in message:
        assert needed_at_least(found, terms | {"sweep": False}) < needed


@given(asked(), st.data())
def test_what_is_refused_while_it_is_measured_would_not_have_fitted(question, data):
    found, budget, terms = question
    so_far = data.draw(st.lists(st.sampled_from(found), unique_by=id, max_size=len(found)))
    spent = terms["spent"] * data.draw(st.floats(0.0, 1.0))
    try:
        check_spent(so_far, asked_for(budget, terms), spent=spent, arms=len(found))
    except InputError as error:
        message = str(error)
    else:
        # And nothing is measured on that cannot fit: by what is known, the study still might.
        assert spent + needed_at_least(so_far, terms) <= budget
        return
    assert fitted(found, budget, terms) is None
    larger = re.search(r"give it (?:about |at least )?--budget (\w+)", message, re.IGNORECASE)
    assert larger is not None
    assert parse_duration(larger[1]) > budget
    if budget < COST_SECONDS:
        assert "too small for any study" in message
        return
    if 0 < len(so_far) < len(found):
        assert f"{len(so_far)} of {len(found)} arms" in message
        assert "estimate" in message
    assert_ways_out(message, so_far, terms)


@given(st.builds(Load, st.floats(1e-4, 1.0), st.floats(0.0, 60.0), st.integers(1, 2000)), terms)
def test_an_estimate_from_some_of_equal_arms_holds_them_all(load, terms):
    alone = terms | {"workers": 1}
    for_each = 1.0 + terms["spent"]
    for measured in (1, 2, 3):
        with pytest.raises(InputError) as error:
            check_spent([load] * measured, asked_for(COST_SECONDS, alone), spent=measured * for_each, arms=4)
        named = re.search(r"an estimate .* about --budget (\w+)(;?)", str(error.value))
        assert named is not None
        then = alone | {"spent": 4 * for_each}
        if named[2] and not alone["fixed_sweep"]:
            then["sweep"] = True
        assert fitted([load] * 4, parse_duration(named[1]), then) is not None


@given(terms, st.floats(0.1, COST_SECONDS - 0.1))
def test_a_budget_below_what_is_set_aside_is_refused_at_once(terms, budget):
    with pytest.raises(
        InputError, match=r"too small for any study: 25 s .* --budget 5m, the default, or more\.$"
    ):
        check_spent([], asked_for(budget, terms), spent=0.0, arms=None)


def test_before_anything_is_measured_the_budget_that_is_named_is_a_guess_and_larger():
    told = {"workers": 2, "sweep": False, "seeds": 3}
    told |= dict.fromkeys(("fixed_sweep", "fixed_seeds", "fixed_steps"), False)
    for budget, named in (
        (30.0, "5m"),
        (299.0, "10m"),
        (1000.0, "34m; from --budget 30m on"),
        (3600.0, "2h"),
    ):
        with pytest.raises(InputError, match=rf"As a guess, .* give it at least --budget {named}"):
            check_spent([], asked_for(budget, told), spent=budget - COST_SECONDS + 0.1, arms=5)
        check_spent([], asked_for(budget, told), spent=budget - COST_SECONDS, arms=5)


def needed_at_least(found, terms):
    seeds = terms["seeds"] if terms["fixed_seeds"] else min(terms["seeds"], FEWEST_SEEDS)
    return seconds(found, terms, scale=1.0 if terms["fixed_steps"] else min(LADDER), seeds=seeds)


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
    assert plan.cuts == ()
