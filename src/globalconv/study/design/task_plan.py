"""A task and its arms as a plan holds them, once sizes, steps and speeds are known."""

from collections.abc import Iterator

from globalconv.errors import InputError
from globalconv.study.design.budget import (
    Terms,
)
from globalconv.study.design.build import TOLERANCE, sizes
from globalconv.study.design.draft import Draft
from globalconv.study.design.sizing import steps_of
from globalconv.study.design.sweep import COARSE_SHARE, coarse_steps, first_grid
from globalconv.study.schema import BaselineAnswer
from globalconv.study.spec import ArmPlan, StudyRequest, TaskPlan, WarmUp
from globalconv.tasks import Baseline, Task


def plan_task(
    draft: Draft,
    costs: dict[str, WarmUp],
    baselines: list[Baseline],
    request: StudyRequest,
    terms: Terms,
    *,
    scale: float,
) -> TaskPlan:
    task = draft.task()
    sign = 1.0 if task.metric.higher_is_better else -1.0
    return TaskPlan(
        task=draft.choice(),
        description=task.description,
        metric=task.metric.name,
        higher_is_better=task.metric.higher_is_better,
        ceiling=task.metric.ceiling,
        margin=task.metric.margin if request.margin is None else request.margin,
        length=task.signature.length,
        causal=task.signature.causal,
        depth=draft.depth,
        batch_size=draft.batch_size,
        evaluations=draft.preset.evaluations,
        taps_rate_factor=draft.preset.taps_rate_factor,
        recipe=draft.recipe,
        tuned=terms.sweep or draft.opened.as_shipped,
        baselines=tuple(
            BaselineAnswer(name=f.name, value=f.value, extra_metrics=f.extra_metrics) for f in baselines
        ),
        trivial_baseline=sign * max(sign * f.value for f in baselines if f.guess),
        arms=tuple(_arm_plans(draft, task, costs, request, terms, scale=scale)),
        left_out=draft.left_out,
        notices=(*task.notices, *draft.notices),
    )


def _arm_plans(
    draft: Draft,
    task: Task,
    costs: dict[str, WarmUp],
    request: StudyRequest,
    terms: Terms,
    *,
    scale: float,
) -> Iterator[ArmPlan]:
    rival_sizes = sizes(draft.models[request.rival], task.signature)
    rival_seconds = (
        steps_of(draft, request.rival, costs, request, scale=scale) * costs[request.rival].seconds_per_step
    )
    for arm, model in draft.models.items():
        parameters, flops = sizes(model, task.signature)
        steps = steps_of(draft, arm, costs, request, scale=scale)
        matched = {
            "parameters": parameters / rival_sizes[0],
            "flops": flops / rival_sizes[1],
            "seconds": steps * costs[arm].seconds_per_step / rival_seconds,
        }[request.match]
        if abs(matched - 1) > TOLERANCE:
            assert request.match == "seconds", f"{arm} is not matched: {matched}"
            raise InputError(
                f"--match seconds: in the seconds of the rival's run {arm} would do {steps} step(s), which is "
                f"{abs(matched - 1):.0%} off, and {TOLERANCE:.0%} is the most. Use more steps (--steps, or a "
                "larger --budget)."
            )
        rate = draft.rates[arm]
        yield ArmPlan(
            arm=arm,
            model=model,
            steps=steps,
            sweep_steps=coarse_steps(steps) if terms.coarse else steps,
            rates=first_grid(rate) if terms.sweep else (rate,),
            rate_source=_rate_source(draft, terms),
            parameters=parameters,
            flops_per_token=flops,
            matched=matched,
            warm_up=costs[arm],
        )


def _rate_source(draft: Draft, terms: Terms) -> str:
    if terms.sweep:
        return "swept here" + (f", on runs of 1/{round(1 / COARSE_SHARE)} of the steps" * terms.coarse)
    if draft.opened.as_shipped:
        assert draft.preset.source is not None
        return draft.preset.source
    return "a guess: not tuned on this data at these sizes"
