"""Advice that can be followed: the planner accepts what it names, and it is not more than that takes."""

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.options import parse_duration
from globalconv.study.answer.advice import Given
from globalconv.study.design.budget import Load, Terms, fit_budget
from globalconv.study.design.presets import SERIOUS_BUDGET_SECONDS
from globalconv.study.runs.directory import StudyState
from globalconv.study.spec import ArmPlan, StudyPlan, StudyRequest, TaskChoice, TaskPlan, WarmUp

STEPS = 500
EVALUATIONS = 12


def plan_of(loads: list[Load], terms: Terms, *, measuring: float) -> StudyPlan:
    """The plan that the ``loads`` give with steps of the user's own."""
    arms = [
        ArmPlan.model_construct(
            arm="attention" if number == 0 else f"arm{number}",
            steps=load.steps,
            warm_up=WarmUp(
                seconds_per_step=load.seconds_per_step,
                seconds_per_evaluation=load.seconds_of_evaluations / (EVALUATIONS + 2),
                seconds_per_test=load.seconds_of_evaluations / (EVALUATIONS + 2),
                peak_memory_bytes=1,
            ),
        )
        for number, load in enumerate(loads)
    ]
    return StudyPlan.model_construct(
        request=StudyRequest(
            steps=STEPS, budget_seconds=terms.budget, sweep=terms.sweep if terms.fixed_sweep else None
        ),
        tasks=(
            TaskPlan.model_construct(
                task=TaskChoice(name="one", kind="recall", options={}, digest=""),
                evaluations=EVALUATIONS,
                arms=tuple(arms),
            ),
        ),
        sweep=terms.sweep,
        coarse_sweep=terms.coarse,
        seeds=tuple(range(terms.seeds)),
        workers=terms.workers,
        budget_seconds=terms.budget,
        planning_seconds=measuring,
        estimated_seconds=terms.seconds(loads, 1.0, terms.seeds),
    )


terms = st.builds(
    Terms,
    budget=st.sampled_from([300.0, 1700.0, 1e5]),
    workers=st.integers(1, 16),
    sweep=st.booleans(),
    seeds=st.sampled_from([2, 3, 5]),
    fixed_sweep=st.booleans(),
    fixed_seeds=st.just(True),
    fixed_steps=st.just(True),
    coarse=st.booleans(),
)
few_of_many = Terms(300.0, 2, False, 3, fixed_sweep=False, fixed_seeds=True, fixed_steps=True)


@given(
    st.floats(1.0, 100.0),
    st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=6),
    st.floats(0.0, 100.0),
    terms,
    st.floats(0.0, 2.0),
)
@example(30.0, [0.01, 0.01], 10.0, few_of_many, 0.5)
def test_more_steps_come_with_a_budget_that_the_planner_accepts(factor, paces, measuring, asked, slower):
    loads = [Load(pace, 1.0, STEPS) for pace in paces]
    plan = plan_of(loads, asked, measuring=measuring)
    planned = measuring + plan.estimated_seconds
    taken = (
        slower * planned
    )  # less where seeds were dropped or runs were there; more where the machine was slower
    advice = Given.to(plan, StudyState(seconds=taken, complete=True)).longer_runs(factor, plan.tasks[0])
    options = re.match(r"--steps (\d+) --budget (\w+)(;?)", advice)
    assert options is not None
    steps, budget = int(options[1]), parse_duration(options[2])
    assert factor * STEPS <= steps < 1.1 * factor * STEPS + 1

    crosses = asked.budget < SERIOUS_BUDGET_SECONDS <= budget
    assert (options[3] != "") == ("the defaults are larger" in advice) == crosses
    then = replace(asked, budget=budget, sweep=asked.sweep or (crosses and not asked.fixed_sweep))
    longer = [replace(load, steps=steps) for load in loads]
    assert fit_budget(longer, then, spent=1.09 * measuring).fits

    again = replace(asked, sweep=then.sweep)
    ratio = again.least(loads) / asked.least(loads)
    enough = max(asked.budget, 1.1 * max(taken, planned) * steps / STEPS) * ratio
    assert budget <= max(enough + 60, 7200) or budget <= enough + 3600


@given(st.floats(1.0, 100.0), terms)
def test_where_steps_fill_the_budget_more_of_them_take_as_much_more(factor, asked):
    plan = plan_of([Load(1e-3, 1.0, STEPS)] * 2, asked, measuring=10.0)
    free = plan.model_copy(update={"request": plan.request.model_copy(update={"steps": None})})
    advice = Given.to(free, StudyState(complete=True)).longer_runs(factor, plan.tasks[0])
    budget = parse_duration(re.match(r"--budget (\w+)", advice)[1])
    assert budget >= factor * asked.budget
    assert ("the defaults are larger" in advice) == (asked.budget < SERIOUS_BUDGET_SECONDS <= budget)


@given(st.floats(1.0, 100.0), st.floats(0.0, 1e5))
def test_without_a_budget_steps_are_advised_and_no_clock_is_asked(factor, taken):
    plan = plan_of([Load(1e-3, 1.0, STEPS)] * 2, few_of_many, measuring=10.0)
    unlimited = plan.model_copy(update={"budget_seconds": None})
    found = Given.to(unlimited, StudyState(seconds=taken, complete=True))
    options = re.fullmatch(r"--steps (\d+)", found.longer_runs(factor, plan.tasks[0]))
    assert options is not None
    assert factor * STEPS <= int(options[1]) < 1.1 * factor * STEPS + 1
    assert found.more_steps == "--steps"


def test_of_several_tasks_the_one_with_more_steps_is_named():
    plan = plan_of([Load(1e-3, 1.0, STEPS)] * 2, few_of_many, measuring=10.0)
    other = plan.tasks[0].model_copy(update={"task": plan.tasks[0].task.model_copy(update={"name": "other"})})
    both = plan.model_copy(update={"budget_seconds": None, "tasks": (*plan.tasks, other)})
    advice = Given.to(both, StudyState(complete=True)).longer_runs(2.0, other)
    assert advice == f"--steps {2 * STEPS} on other alone"


def test_an_unfinished_study_is_known_as_such():
    plan = plan_of([Load(1e-3, 1.0, STEPS)] * 2, few_of_many, measuring=10.0)
    assert Given.to(plan, StudyState()).unfinished
    assert not Given.to(plan, StudyState(complete=True)).unfinished


@pytest.mark.parametrize("fixed_sweep", [True, False])
def test_a_sweep_that_a_larger_budget_brings_along_is_reckoned_with(fixed_sweep):
    asked = replace(few_of_many, fixed_sweep=fixed_sweep)
    plan = plan_of([Load(0.1, 0.0, STEPS)] * 2, asked, measuring=0.0)
    advice = Given.to(plan, StudyState(complete=True)).longer_runs(20.0, plan.tasks[0])
    budget = parse_duration(re.search(r"--budget (\w+)", advice)[1])
    alone = 1.1 * 20 * plan.estimated_seconds
    assert budget >= alone * (1 if fixed_sweep else 2)
    assert budget <= alone + 3600 or not fixed_sweep
