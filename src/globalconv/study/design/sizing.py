"""The largest sizes that a budget holds, by the estimate: reductions are tried one after another until one fits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from globalconv.study.design.budget import (
    Load,
    Terms,
)
from globalconv.study.design.draft import Draft, OpenedTask, draft
from globalconv.study.design.estimate import estimate_warm_up, warm_up_seconds
from globalconv.study.design.memory import TooLarge
from globalconv.study.design.presets import is_serious
from globalconv.study.design.reductions import FEWEST_TELLING_SEEDS, Reduction
from globalconv.study.spec import StudyRequest, WarmUp

OWN_DATA_BUDGET = 300.0
"""Seconds for a study of the user's own data or sizes where no budget is given."""
Costs = dict[str, dict[str, WarmUp]]
"""Task -> arm -> what was measured or estimated."""


@dataclass(frozen=True)
class Sizing:
    """Drafts at the sizes of a reduction, what they cost by the estimate, and how the budget is then spent."""

    reduction: Reduction
    drafts: list[Draft]
    terms: Terms
    estimate: Costs
    pace: float
    """Seconds over those that arithmetic alone gives, as far as it is known; the estimate reckons with it."""
    seconds: float
    """From the first warm-up to the report, with the least steps that the reduction allows."""


def terms_of(request: StudyRequest, opened: Sequence[OpenedTask], *, workers: int) -> Terms:
    """What was asked, as far as it decides what fits."""
    serious = is_serious(request.budget_seconds)
    as_shipped = all(o.as_shipped for o in opened)
    sweep = request.sweep if request.sweep is not None else serious or not as_shipped
    free = request.budget_seconds is None and (as_shipped or request.steps is not None)
    return Terms(
        budget=math.inf if free else request.budget_seconds or OWN_DATA_BUDGET,
        workers=workers,
        sweep=sweep,
        seeds=request.seeds or (5 if serious else 3),
        fixed_sweep=request.sweep is not None,
        fixed_seeds=request.seeds is not None,
        fixed_steps=request.steps is not None or free,
    )


def choose_sizes(
    opened: Sequence[OpenedTask],
    request: StudyRequest,
    tried: Sequence[Reduction],
    terms: Terms,
    *,
    pace: float,
    spent: float,
) -> Sizing:
    """The first reduction with which the study fits, else the last. ``pace``: see ``Sizing``."""
    sizing, too_large = None, None
    for reduction in tried:
        try:
            drafts = [draft(o, request, reduction, workers=terms.workers) for o in opened]
        except TooLarge as error:
            too_large = error
            continue
        cut = replace(
            terms,
            coarse=reduction.coarse_sweep and not terms.fixed_sweep,
            seeds=FEWEST_TELLING_SEEDS if reduction.fewest_seeds and not terms.fixed_seeds else terms.seeds,
        )
        costs = {
            d.name: {arm: _scaled(_estimated(d, arm, request), pace) for arm in d.models} for d in drafts
        }
        measuring = sum(warm_up_seconds(cost) for of_task in costs.values() for cost in of_task.values())
        scale = 1.0 if cut.fixed_steps else reduction.least_scale
        least = cut.seconds(loads_of(drafts, costs, request), scale, cut.fewest_seeds)
        seconds = measuring / cut.workers + least
        sizing = Sizing(reduction, drafts, cut, costs, pace, seconds)
        if spent + seconds <= terms.budget:
            break
    if sizing is None:
        assert too_large is not None
        raise too_large
    return sizing


def _estimated(draft: Draft, arm: str, request: StudyRequest) -> WarmUp:
    return estimate_warm_up(
        draft.models[arm],
        draft.signature,
        batch_size=draft.batch_size,
        held_out=draft.opened.num_held_out,
        device=request.device,
    )


def _scaled(cost: WarmUp, pace: float) -> WarmUp:
    return cost.model_copy(
        update={
            "seconds_per_step": pace * cost.seconds_per_step,
            "seconds_per_evaluation": pace * cost.seconds_per_evaluation,
            "seconds_per_test": pace * cost.seconds_per_test,
        }
    )


def pace_of(sizing: Sizing, costs: Costs) -> float:
    """How many times as long a step takes as arithmetic alone says, over all arms."""
    pairs = [
        (costs[task][arm].seconds_per_step, estimate.seconds_per_step)
        for task, arms in sizing.estimate.items()
        for arm, estimate in arms.items()
    ]
    slowness = sum(measured for measured, _ in pairs) / sum(estimated for _, estimated in pairs)
    return sizing.pace * slowness


def loads_of(drafts: Sequence[Draft], costs: Costs, request: StudyRequest) -> list[Load]:
    return [
        Load.of(
            costs[d.name][arm],
            steps=steps_of(d, arm, costs[d.name], request),
            evaluations=d.preset.evaluations,
        )
        for d in drafts
        for arm in d.models
    ]


def steps_of(
    draft: Draft, arm: str, costs: dict[str, WarmUp], request: StudyRequest, *, scale: float = 1.0
) -> int:
    """The steps of an arm: everyone's, or as many as fit in the rival's seconds."""
    steps = max(1, round(draft.steps * scale))
    if request.match == "seconds":
        rival = costs[request.rival]
        steps = max(1, round(steps * rival.seconds_per_step / costs[arm].seconds_per_step))
    return steps
