"""Decide, before any training, what a study trains: arms, sizes, steps, rates, seeds, within a budget."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from globalconv.display.numbers import format_duration
from globalconv.errors import InputError
from globalconv.options import duration_option
from globalconv.study.design.budget import (
    LARGER_DEFAULTS,
    SLACK,
    Fitted,
    Terms,
    crosses_to_serious,
    fit_budget,
)
from globalconv.study.design.check_arms import check_arms
from globalconv.study.design.draft import Draft, OpenedTask, open_task
from globalconv.study.design.estimate import TooLarge
from globalconv.study.design.reductions import Reduction, reductions
from globalconv.study.design.sizing import Sizing, choose_sizes, loads_of, pace_of, terms_of
from globalconv.study.design.sweep import COARSE_SHARE
from globalconv.study.design.task_plan import plan_task
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp
from globalconv.tasks import Baseline, Task
from globalconv.training.settings import TrainingSettings
from globalconv.version import __version__

DEFAULT_TASKS = ("recall", "digits", "text")
HOPELESS = 1.5
"""A study whose estimate exceeds its budget by this factor is refused before it begins."""
MEASURING_SHARE = 0.25
"""The share of the budget that measuring may take; what remains is then cut short."""
MOST_REDRAFTS = 2
"""How often the sizes may be reduced again because the machine is slower than the estimate."""
TOO_FEW = 0.4
"""If fewer than this share of the planned steps fit, sizes are chosen again."""
WarmUps = Callable[[Sequence[RunSpec], float], Iterator[tuple[int, WarmUp]]]
"""(specs, until) -> (a spec's index, its warm-up), as they end; past ``until``, of time.monotonic, cut short."""


def make_plan(request: StudyRequest, *, command: str, workers: int, warm_ups: WarmUps) -> StudyPlan:
    """Plan the study that ``request`` asks for.

    Sizes are chosen by arithmetic alone, so that they do not depend on how busy the machine is; then ``warm_ups`` times
    each arm for a few steps, and what is left of the budget decides the steps. Without a budget, tasks at the sizes
    that ship have their usual steps, and the clock decides nothing. Raises InputError, before anything is measured,
    for what cannot be run, and for a budget that the study would exceed by far whatever is cut.
    """
    started = time.monotonic()
    opened = [open_task(name, request) for name in request.tasks or DEFAULT_TASKS]
    names = [o.task.name for o in opened]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"two tasks are called '{twice}'. Name each task once; files of one name must be renamed."
        )
    terms = terms_of(request, opened, workers=workers)
    spent = time.monotonic() - started
    tried = list(reductions())
    sizing = choose_sizes(opened, tried, terms, pace=1.0, spent=spent)
    if sizing.seconds > HOPELESS * (terms.budget - spent):
        raise _hopeless(sizing, request, spent)

    baselines: dict[Task, list[Baseline]] = {}
    for redrafts_left in range(MOST_REDRAFTS, -1, -1):
        for drafted in sizing.drafts:
            check_arms(drafted.models, drafted.signature, device=request.device)
        for task in (drafted.task() for drafted in sizing.drafts):
            if task not in baselines:  # their time is the study's too
                baselines[task] = task.baselines()
        drafts = _measured(sizing.drafts, warm_ups, until=started + MEASURING_SHARE * terms.budget)
        spent, pace = time.monotonic() - started, pace_of(sizing, drafts)
        fitted = fit_budget(loads_of(drafts), sizing.terms, spent=spent)
        tried = tried[tried.index(sizing.reduction) + 1 :]
        enough = sizing.terms.fixed_steps or fitted.scale >= TOO_FEW * sizing.reduction.least_scale
        no_time = spent > MEASURING_SHARE * terms.budget
        if (enough and fitted.fits) or no_time or not redrafts_left or not tried:
            break
        sizing = choose_sizes(opened, tried, terms, pace=pace, spent=spent)
    planning_seconds = time.monotonic() - started
    return StudyPlan(
        globalconv_version=__version__,
        command=command,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        request=request,
        tasks=tuple(plan_task(d, baselines[d.task()], sizing.terms, scale=fitted.scale) for d in drafts),
        sweep=sizing.terms.sweep,
        coarse_sweep=sizing.terms.sweep and sizing.terms.coarse,
        seeds=tuple(range(fitted.seeds)),
        workers=workers,
        budget_seconds=None if math.isinf(terms.budget) else terms.budget,
        planning_seconds=planning_seconds,
        estimated_seconds=fitted.seconds,
        cuts=_cuts(sizing, fitted, opened, terms, pace=pace, spent=spent),
    )


def _hopeless(sizing: Sizing, request: StudyRequest, spent: float) -> InputError:
    """The error for a budget that is far too small, with the budget that would do."""
    enough = SLACK * (spent + sizing.seconds)
    sizes = ("steps", "seeds", "width", "depth", "length", "batch_size", "arms", "sweep")
    own = [f"--{name.replace('_', '-')}" for name in sizes if getattr(request, name)]
    less = f" Or give less to {' or '.join(own)}, which are not cut because you chose them." if own else ""
    return InputError(
        f"--budget {duration_option(sizing.terms.budget)} is too small: the least that this study needs, with "
        f"everything cut that you left open, is about {format_duration(spent + sizing.seconds)}. Give it --budget "
        f"{duration_option(enough)}.{less}"
    )


def _measured(drafts: Sequence[Draft], warm_ups: WarmUps, *, until: float) -> list[Draft]:
    """The drafts with what the warm-up of every arm found."""
    arms = [(d, arm) for d in drafts for arm in d.models]
    found = dict(warm_ups([_warm_up_spec(d, arm) for d, arm in arms], until))
    by_arm = {(d.name, arm): found[index] for index, (d, arm) in enumerate(arms)}
    return [replace(d, warm_ups={arm: by_arm[d.name, arm] for arm in d.models}) for d in drafts]


def _warm_up_spec(draft: Draft, arm: str) -> RunSpec:
    request = draft.opened.request
    return RunSpec(
        task=draft.choice(),
        arm=arm,
        model=draft.models[arm],
        training=TrainingSettings(
            steps=1,
            batch_size=draft.batch_size,
            learning_rate=draft.rate(arm),
            precision=request.precision,
            **draft.recipe,
        ),
        seed=0,
        purpose="sweep",
        device=request.device,
    )


def _cuts(
    sizing: Sizing, fitted: Fitted, opened: Sequence[OpenedTask], terms: Terms, *, pace: float, spent: float
) -> tuple[str, ...]:
    """What is cut to fit the budget, a line each, and last the budget that needs no cuts."""
    cuts = [cut for d in sizing.drafts for cut in d.cuts]
    if sizing.terms.coarse and sizing.terms.sweep:
        cuts.append(
            f"Learning rates are tuned on runs of 1/{round(1 / COARSE_SHARE)} of the steps, each rate with one seed."
        )
    if fitted.seeds < terms.seeds:
        cuts.append(f"{fitted.seeds} seeds instead of {terms.seeds}.")
    if fitted.scale < 1:
        cuts.append(f"Every run has {fitted.scale:.0%} of the usual steps.")
    if not fitted.fits:
        cuts.append(
            f"The study takes about {format_duration(spent + fitted.seconds)} here, which is more than its budget."
        )
    if not cuts:
        return ()
    try:
        whole = choose_sizes(opened, [Reduction()], replace(terms, budget=math.inf), pace=pace, spent=spent)
    except TooLarge:  # then no budget is enough
        return tuple(cuts)
    seconds = SLACK * (spent + whole.terms.seconds(loads_of(whole.drafts), 1.0, terms.seeds))
    if seconds > terms.budget:
        larger = LARGER_DEFAULTS if crosses_to_serious(seconds, terms.budget) else ""
        cuts.append(f"Nothing is cut from about --budget {duration_option(seconds)} on{larger}.")
    return tuple(cuts)
