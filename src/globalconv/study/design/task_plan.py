"""A task and its arms as a plan holds them, once sizes, steps and speeds are known."""

from collections.abc import Iterator, Sequence

from globalconv.errors import InputError
from globalconv.study.design.budget import Terms
from globalconv.study.design.build import TOLERANCE, sizes
from globalconv.study.design.draft import Draft
from globalconv.study.design.sweep import COARSE_SHARE, FEWEST_COARSE_STEPS, first_grid
from globalconv.study.schema import BaselineAnswer
from globalconv.study.spec import ArmPlan, TaskPlan
from globalconv.tasks import Baseline


def plan_task(draft: Draft, baselines: Sequence[Baseline], terms: Terms, *, scale: float) -> TaskPlan:
    """The plan of a task whose arms have ``scale`` times the steps of the draft."""
    task, opened = draft.task(), draft.opened
    margin, sign = opened.request.margin, 1.0 if task.metric.higher_is_better else -1.0
    return TaskPlan(
        task=draft.choice(),
        description=task.description,
        metric=task.metric.name,
        higher_is_better=task.metric.higher_is_better,
        ceiling=task.metric.ceiling,
        margin=task.metric.margin if margin is None else margin,
        length=task.signature.length,
        causal=task.signature.causal,
        depth=draft.depth,
        batch_size=draft.batch_size,
        evaluations=opened.preset.evaluations,
        taps_rate_factor=opened.preset.taps_rate_factor,
        recipe=draft.recipe,
        tuned=terms.sweep or opened.as_shipped,
        baselines=tuple(
            BaselineAnswer(name=f.name, value=f.value, extra_metrics=f.extra_metrics) for f in baselines
        ),
        trivial_baseline=sign * max(sign * f.value for f in baselines if f.guess),
        arms=tuple(_arm_plans(draft, terms, scale=scale)),
        left_out=draft.left_out,
        notices=(*task.notices, *draft.notices),
    )


def _arm_plans(draft: Draft, terms: Terms, *, scale: float) -> Iterator[ArmPlan]:
    request, signature = draft.opened.request, draft.task().signature
    source = "a guess: not tuned on this data at these sizes"
    if terms.sweep:
        source = "swept here" + f", on runs of 1/{round(1 / COARSE_SHARE)} of the steps" * terms.coarse
    elif draft.opened.as_shipped:
        source = draft.opened.preset.source or source
    spent: dict[str, float] = {}
    for arm, model in draft.models.items():  # the rival comes first
        parameters, flops = sizes(model, signature)
        steps, warm_up, rate = draft.steps(arm, scale=scale), draft.warm_ups[arm], draft.rate(arm)
        seconds = steps * warm_up.seconds_per_step
        spent[arm] = {"parameters": parameters, "flops": flops, "seconds": seconds}[request.match]
        matched = spent[arm] / spent[request.rival]
        if abs(matched - 1) > TOLERANCE:
            assert request.match == "seconds", f"{arm} is not matched: {matched}"
            raise InputError(
                f"--match seconds: in the seconds of the rival's run {arm} would do {steps} step(s), which is "
                f"{abs(matched - 1):.0%} off, and {TOLERANCE:.0%} is the most. Use more steps (--steps, or a "
                "larger --budget)."
            )
        yield ArmPlan(
            arm=arm,
            model=model,
            steps=steps,
            sweep_steps=max(round(COARSE_SHARE * steps), min(steps, FEWEST_COARSE_STEPS))
            if terms.coarse
            else steps,
            rates=first_grid(rate) if terms.sweep else (rate,),
            rate_source=source,
            parameters=parameters,
            flops_per_token=flops,
            matched=matched,
            warm_up=warm_up,
        )
