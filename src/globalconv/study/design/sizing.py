"""The largest sizes that fit the budget by the estimate: reductions are tried in turn until one fits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from globalconv.study.design.budget import Load, Terms
from globalconv.study.design.draft import Draft, OpenedTask, draft
from globalconv.study.design.estimate import TooLarge, warm_up_seconds
from globalconv.study.design.presets import is_serious
from globalconv.study.design.reductions import FEWEST_TELLING_SEEDS, Reduction
from globalconv.study.spec import StudyRequest

OWN_DATA_BUDGET = 300.0
"""Seconds for a study of the user's own data or sizes where no budget is given."""


@dataclass(frozen=True)
class Sizing:
    """Drafts at the sizes of a reduction, and how the budget is then spent."""

    reduction: Reduction
    drafts: list[Draft]
    terms: Terms
    pace: float
    """Seconds over those that arithmetic alone gives, as far as it is known; the estimates include it."""
    seconds: float
    """From the first warm-up to the report, with the least steps that the reduction allows, by the estimate."""


def terms_of(request: StudyRequest, opened: Sequence[OpenedTask], *, workers: int) -> Terms:
    """The part of the request that decides what fits."""
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
    opened: Sequence[OpenedTask], tried: Sequence[Reduction], terms: Terms, *, pace: float, spent: float
) -> Sizing:
    """The first reduction with which the study fits, else the last. ``pace``: see ``Sizing``."""
    sizing, too_large = None, None
    for reduction in tried:
        try:
            drafts = [draft(o, reduction, workers=terms.workers, pace=pace) for o in opened]
        except TooLarge as error:
            too_large = error
            continue
        cut = replace(
            terms,
            coarse=reduction.coarse_sweep and not terms.fixed_sweep,
            seeds=FEWEST_TELLING_SEEDS if reduction.fewest_seeds and not terms.fixed_seeds else terms.seeds,
        )
        measuring = sum(warm_up_seconds(warm_up) for d in drafts for warm_up in d.warm_ups.values())
        scale = 1.0 if cut.fixed_steps else reduction.least_scale
        seconds = measuring / cut.workers + cut.seconds(loads_of(drafts), scale, cut.fewest_seeds)
        sizing = Sizing(reduction, drafts, cut, pace, seconds)
        if spent + seconds <= terms.budget:
            break
    if sizing is None:
        assert too_large is not None
        raise too_large
    return sizing


def pace_of(sizing: Sizing, measured: Sequence[Draft]) -> float:
    """Measured over estimated seconds of a step, over all arms."""
    found, expected = (
        sum(warm_up.seconds_per_step for d in drafts for warm_up in d.warm_ups.values())
        for drafts in (measured, sizing.drafts)
    )
    return sizing.pace * found / expected


def loads_of(drafts: Sequence[Draft]) -> list[Load]:
    """What a run of each arm of each task costs."""
    return [load for d in drafts for load in d.loads()]
