"""Decide, before any training, what a study trains: arms, sizes, steps, rates, seeds, within a budget."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from globalconv.display.numbers import format_duration
from globalconv.errors import InputError
from globalconv.options import duration_option
from globalconv.study.design.budget import (
    LARGER_DEFAULTS,
    SLACK,
    Fitted,
    Load,
    Terms,
    crosses_to_serious,
    fit_budget,
)
from globalconv.study.design.build import TOLERANCE, sizes
from globalconv.study.design.check_arms import check_arms
from globalconv.study.design.draft import Draft, OpenedTask, draft, open_task
from globalconv.study.design.estimate import estimate_warm_up, warm_up_seconds
from globalconv.study.design.memory import TooLarge
from globalconv.study.design.presets import is_serious
from globalconv.study.design.reductions import FEWEST_TELLING_SEEDS, Reduction, reductions
from globalconv.study.design.spec import ArmPlan, RunSpec, StudyPlan, StudyRequest, TaskPlan, WarmUp
from globalconv.study.design.sweep import COARSE_SHARE, coarse_steps, first_grid
from globalconv.study.schema import FloorAnswer
from globalconv.tasks import Floor, Task
from globalconv.training.settings import TrainingSettings
from globalconv.version import __version__

DEFAULT_TASKS = ("recall", "digits", "text")
OWN_DATA_BUDGET = 300.0
"""Seconds for a study of the user's own data or sizes where no budget is given."""
HOPELESS = 1.5
"""A study that takes as many times its budget, by the estimate, is refused before it begins."""
MEASURING_SHARE = 0.25
"""Of the budget: afterwards what is left to be measured is cut short."""
MOST_REDRAFTS = 2
"""So often the sizes are cut down further, because the machine proves slower than the estimate."""
TOO_FEW = 0.4
"""Of the steps for which sizes were chosen: with fewer they are."""
WarmUps = Callable[[Sequence[RunSpec], float], Iterator[tuple[int, WarmUp]]]
"""(specs, until) -> (a spec's index, its warm-up), as they end; past ``until``, of time.monotonic, cut short."""
Costs = dict[str, dict[str, WarmUp]]
"""Task -> arm -> what was measured or estimated."""


def make_plan(request: StudyRequest, *, command: str, workers: int, warm_ups: WarmUps) -> StudyPlan:
    """Plan the study that ``request`` asks for.

    Sizes are chosen by arithmetic alone, so that they do not depend on how busy the machine is; then ``warm_ups`` times
    each arm for a few steps, and what is left of the budget decides the steps. Without a budget, tasks at the sizes
    that ship have their usual steps, and the clock decides nothing. Raises InputError, before anything is measured,
    for what cannot be run, and for a budget that the study would exceed by far whatever is cut.
    """
    started = time.monotonic()
    if request.margin is not None and not 0 <= request.margin < math.inf:
        raise InputError(
            f"--margin {request.margin:g}: give a difference that you would not mind, 0 or more."
        )
    opened = [open_task(name, request) for name in request.tasks or DEFAULT_TASKS]
    names = [o.task.name for o in opened]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"two tasks are called '{twice}'. Name each task once; files of one name must be renamed."
        )
    terms = _terms(request, opened, workers=workers)
    spent = time.monotonic() - started
    tried = list(reductions())
    choice = _choose(opened, request, tried, terms, pace=1.0, spent=spent)
    if choice.seconds > HOPELESS * (terms.budget - spent):
        raise _hopeless(choice, request, spent)

    for redrafts_left in range(MOST_REDRAFTS, -1, -1):
        for drafted in choice.drafts:
            check_arms(drafted.models, drafted.signature, device=request.device)
        costs = _measure(choice, request, warm_ups, until=started + MEASURING_SHARE * terms.budget)
        spent = time.monotonic() - started
        fitted = fit_budget(_loads(choice.drafts, costs, request), choice.terms, spent=spent)
        tried = tried[tried.index(choice.reduction) + 1 :]
        enough = choice.terms.fixed_steps or fitted.scale >= TOO_FEW * choice.reduction.least_scale
        no_time = spent > MEASURING_SHARE * terms.budget
        if (enough and fitted.fits) or no_time or not redrafts_left or not tried:
            break
        choice = _choose(opened, request, tried, terms, pace=_pace(choice, costs), spent=spent)
    tasks = [d.task() for d in choice.drafts]
    floors = [task.floors() for task in tasks]
    planning_seconds = time.monotonic() - started
    return StudyPlan(
        globalconv_version=__version__,
        command=command,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        request=request,
        tasks=tuple(
            _task_plan(d, costs[d.name], found, request, choice.terms, scale=fitted.scale)
            for d, found in zip(choice.drafts, floors, strict=True)
        ),
        sweep=choice.terms.sweep,
        coarse_sweep=choice.terms.sweep and choice.terms.coarse,
        seeds=tuple(range(fitted.seeds)),
        workers=workers,
        budget_seconds=None if math.isinf(terms.budget) else terms.budget,
        planning_seconds=planning_seconds,
        estimated_seconds=fitted.seconds,
        cuts=_cuts(choice, fitted, opened, request, terms, pace=_pace(choice, costs), spent=spent),
    )


@dataclass(frozen=True)
class _Choice:
    """Drafts at the sizes of a reduction, what they cost by the estimate, and how the budget is then spent."""

    reduction: Reduction
    drafts: list[Draft]
    terms: Terms
    estimate: Costs
    pace: float
    """Seconds over those that arithmetic alone gives, as far as it is known; the estimate reckons with it."""
    seconds: float
    """From the first warm-up to the report, with the least steps that the reduction allows."""


def _terms(request: StudyRequest, opened: Sequence[OpenedTask], *, workers: int) -> Terms:
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


def _choose(
    opened: Sequence[OpenedTask],
    request: StudyRequest,
    tried: Sequence[Reduction],
    terms: Terms,
    *,
    pace: float,
    spent: float,
) -> _Choice:
    """The first reduction with which the study fits, else the last. ``pace``: see ``_Choice``."""
    choice, too_large = None, None
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
        least = cut.seconds(_loads(drafts, costs, request), scale, cut.fewest_seeds)
        seconds = measuring / cut.workers + least
        choice = _Choice(reduction, drafts, cut, costs, pace, seconds)
        if spent + seconds <= terms.budget:
            break
    if choice is None:
        assert too_large is not None
        raise too_large
    return choice


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


def _pace(choice: _Choice, costs: Costs) -> float:
    """How many times as long a step takes as arithmetic alone says, over all arms."""
    pairs = [
        (costs[task][arm].seconds_per_step, estimate.seconds_per_step)
        for task, arms in choice.estimate.items()
        for arm, estimate in arms.items()
    ]
    slowness = sum(measured for measured, _ in pairs) / sum(estimated for _, estimated in pairs)
    return choice.pace * slowness


def _hopeless(choice: _Choice, request: StudyRequest, spent: float) -> InputError:
    """A budget that is exceeded by far, whatever is cut: the command that would work."""
    enough = SLACK * (spent + choice.seconds)
    own = [
        option
        for option, value in (
            ("--steps", request.steps),
            ("--seeds", request.seeds),
            ("--width", request.width),
            ("--depth", request.depth),
            ("--length", request.length),
            ("--batch-size", request.batch_size),
            ("--arms", request.arms),
            ("--sweep", request.sweep),
        )
        if value
    ]
    less = f" Or give less to {' or '.join(own)}, which are not cut because you chose them." if own else ""
    return InputError(
        f"--budget {duration_option(choice.terms.budget)} is too small: the least that this study needs, with "
        f"everything cut that you left open, is about {format_duration(spent + choice.seconds)}. Give it --budget "
        f"{duration_option(enough)}.{less}"
    )


def _measure(choice: _Choice, request: StudyRequest, warm_ups: WarmUps, *, until: float) -> Costs:
    """The warm-up of every arm of every task."""
    costs: Costs = {d.name: {} for d in choice.drafts}
    arms = [(d, arm) for d in choice.drafts for arm in d.models]
    for index, cost in warm_ups([_warm_up_spec(d, arm, request) for d, arm in arms], until):
        d, arm = arms[index]
        costs[d.name][arm] = cost
    return costs


def _warm_up_spec(draft: Draft, arm: str, request: StudyRequest) -> RunSpec:
    return RunSpec(
        task=draft.choice(),
        arm=arm,
        model=draft.models[arm],
        training=TrainingSettings(
            steps=1,
            batch_size=draft.batch_size,
            learning_rate=draft.rates[arm],
            precision=request.precision,
            **draft.recipe,
        ),
        seed=0,
        purpose="sweep",
        device=request.device,
    )


def _loads(drafts: Sequence[Draft], costs: Costs, request: StudyRequest) -> list[Load]:
    return [
        Load.of(
            costs[d.name][arm],
            steps=_steps(d, arm, costs[d.name], request),
            evaluations=d.preset.evaluations,
        )
        for d in drafts
        for arm in d.models
    ]


def _steps(
    draft: Draft, arm: str, costs: dict[str, WarmUp], request: StudyRequest, *, scale: float = 1.0
) -> int:
    """The steps of an arm: everyone's, or as many as fit in the rival's seconds."""
    steps = max(1, round(draft.steps * scale))
    if request.match == "seconds":
        rival = costs[request.rival]
        steps = max(1, round(steps * rival.seconds_per_step / costs[arm].seconds_per_step))
    return steps


def _task_plan(
    draft: Draft,
    costs: dict[str, WarmUp],
    floors: list[Floor],
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
        floors=tuple(FloorAnswer(name=f.name, value=f.value, extra_metrics=f.extra_metrics) for f in floors),
        trivial_floor=sign * max(sign * f.value for f in floors if f.guess),
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
        _steps(draft, request.rival, costs, request, scale=scale) * costs[request.rival].seconds_per_step
    )
    for arm, model in draft.models.items():
        parameters, flops = sizes(model, task.signature)
        steps = _steps(draft, arm, costs, request, scale=scale)
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


def _cuts(
    choice: _Choice,
    fitted: Fitted,
    opened: Sequence[OpenedTask],
    request: StudyRequest,
    terms: Terms,
    *,
    pace: float,
    spent: float,
) -> tuple[str, ...]:
    """What is cut to fit the budget, a line each, and last the budget that needs no cuts."""
    cuts = [cut for d in choice.drafts for cut in d.cuts]
    cuts += [f"{d.name}: {arm} is {why}." for d in choice.drafts for arm, why in d.spared.items()]
    if choice.terms.coarse and choice.terms.sweep:
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
        whole = _choose(
            opened, request, [Reduction()], replace(terms, budget=math.inf), pace=pace, spent=spent
        )
    except TooLarge:  # then no budget is enough
        return tuple(cuts)
    assert request.budget_seconds is None or not math.isinf(terms.budget)
    loads = _loads(whole.drafts, whole.estimate, request)
    seconds = SLACK * (spent + whole.terms.seconds(loads, 1.0, terms.seeds))
    if seconds > terms.budget:
        larger = LARGER_DEFAULTS if crosses_to_serious(seconds, terms.budget) else ""
        cuts.append(f"Nothing is cut from about --budget {duration_option(seconds)} on{larger}.")
    return tuple(cuts)
