"""Decide, before any training, what a study trains: arms, sizes, steps, rates, seeds, within a budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import globalconv
from globalconv.errors import InputError
from globalconv.study.answer import FloorAnswer
from globalconv.study.arms import DEFAULT_ARMS, mixers_of
from globalconv.study.build import RIVAL_MLP_RATIO, TOLERANCE, match_mlp_width, sizes
from globalconv.study.presets import ANY_ARM_RATE, SERIOUS_BUDGET_SECONDS, Preset, preset_for
from globalconv.study.spec import (
    ArmPlan,
    ModelSpec,
    RunSpec,
    StudyPlan,
    StudyRequest,
    TaskChoice,
    TaskPlan,
    WarmUp,
)
from globalconv.study.sweep import START_SIZE, first_grid
from globalconv.tasks import Task, build_task, resolve_task
from globalconv.training.settings import TrainingSettings

DEFAULT_TASKS = ("recall", "digits", "text")
FEWEST_SEEDS = 3
COST_SECONDS = 12.0
"""Set aside for the cost curves and the report."""
WIDENING = 1.3
"""Runs of a sweep, over those of its first grid: some grids widen."""
PARALLEL_EFFICIENCY = 0.9
"""Two runs side by side do not run quite twice as fast, and the last one runs alone."""
LADDER = tuple(2 ** (k / 2) for k in range(6, -9, -1))
"""Factors by which all steps may be scaled, from 8 down to 1/16."""

WarmUps = Callable[[Sequence[RunSpec]], list[WarmUp]]


@dataclass
class _Draft:
    """A task on its way to a TaskPlan: sizes are solved, costs are not known yet."""

    task: Task
    preset: Preset
    choice: TaskChoice
    rates: dict[str, float]
    models: dict[str, ModelSpec]
    left_out: dict[str, str]
    depth: int
    steps: int
    batch_size: int
    tuned: bool


def make_plan(request: StudyRequest, *, command: str, workers: int, warm_ups: WarmUps) -> StudyPlan:
    """Plan the study that ``request`` asks for.

    ``warm_ups`` times each arm for a few steps. Raises InputError for anything that cannot be run,
    naming the fix, and for a budget that does not hold three seeds at a sixteenth of the usual steps.
    """
    drafts = [_draft(name, request) for name in request.tasks or DEFAULT_TASKS]
    names = [draft.choice.name for draft in drafts]
    if len(set(names)) != len(names):
        raise InputError(f"the same task is named twice: {', '.join(names)}. Name each once.")
    serious = request.budget_seconds >= SERIOUS_BUDGET_SECONDS
    sweep = request.sweep if request.sweep is not None else serious or any(not d.tuned for d in drafts)
    seeds = request.seeds or (5 if serious else 3)

    specs = [_warm_up_spec(draft, arm, request) for draft in drafts for arm in draft.models]
    measured = iter(warm_ups(specs))
    costs = {draft.choice.name: {arm: next(measured) for arm in draft.models} for draft in drafts}

    # The floors are scored while nothing else runs: the clock of the plan starts after them.
    floors = {draft.choice.name: draft.task.floors() for draft in drafts}
    steps_fixed = request.steps is not None
    scale, seeds, estimated, cuts = _fit_budget(
        drafts, costs, request, seeds=seeds, sweep=sweep, workers=workers, steps_fixed=steps_fixed
    )
    return StudyPlan(
        globalconv_version=globalconv.__version__,
        command=command,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        request=request,
        tasks=tuple(
            _task_plan(d, costs[d.choice.name], floors[d.choice.name], request, scale=scale, sweep=sweep)
            for d in drafts
        ),
        sweep=sweep,
        seeds=tuple(range(seeds)),
        workers=workers,
        estimated_seconds=estimated,
        cuts=tuple(cuts),
    )


def _draft(name: str, request: StudyRequest) -> _Draft:
    kind, options = resolve_task(name, length=request.length, label=request.label, data=request.data)
    preset = preset_for(kind, request.budget_seconds)
    task = build_task(kind, preset.options | options)
    depth, width = request.depth or preset.depth, request.width or preset.width
    own_options = {"attention": {"num_heads": request.heads or preset.heads}}
    arms = list(dict.fromkeys([request.rival, *(request.arms or DEFAULT_ARMS)]))
    left_out: dict[str, str] = {}
    mixers: dict[str, tuple[str, ...]] = {}
    for arm in arms:
        mixers[arm] = mixers_of(arm, depth)
        if task.signature.causal and "token_mlp" in mixers[arm]:
            left_out[arm] = "token_mlp mixes all positions and is not causal; this task hides the future"
            del mixers[arm]
    if request.rival in left_out:
        raise InputError(f"the rival '{request.rival}' cannot run on {task.name}: {left_out[request.rival]}.")
    if len(mixers) < 2:
        raise InputError(f"{task.name} is left with the rival alone; name another arm with --arms.")

    models = {
        arm: ModelSpec(
            mixers=names,
            mixer_options={name: own_options[name] for name in names if name in own_options},
            width=width,
            mlp_width=RIVAL_MLP_RATIO * width,
        )
        for arm, names in mixers.items()
    }
    axis = 1 if request.match == "flops" else 0
    target = sizes(models[request.rival], task.signature)[axis]
    for arm in models:
        if arm != request.rival:
            models[arm] = match_mlp_width(models[arm], target, task.signature, on=request.match)
    as_measured = all(
        asked is None or asked == shipped
        for asked, shipped in (
            (request.depth, preset.depth),
            (request.width, preset.width),
            (request.heads, preset.heads),
            (request.batch_size, preset.batch_size),
            (request.length, task.signature.length if task.kind == "text" else request.length),
        )
    )
    known = all(arm in preset.rates for arm in models)
    own_data = task.options.get("path") is not None
    return _Draft(
        task=task,
        preset=preset,
        choice=TaskChoice(name=task.name, kind=task.kind, options=task.options, digest=task.digest),
        rates={arm: preset.rates.get(arm, ANY_ARM_RATE) for arm in models},
        models=models,
        left_out=left_out,
        depth=depth,
        steps=request.steps or preset.steps,
        batch_size=request.batch_size or preset.batch_size,
        tuned=preset.source is not None and as_measured and known and not own_data,
    )


def _warm_up_spec(draft: _Draft, arm: str, request: StudyRequest) -> RunSpec:
    return RunSpec(
        task=draft.choice,
        arm=arm,
        model=draft.models[arm],
        training=TrainingSettings(
            steps=1,
            batch_size=draft.batch_size,
            learning_rate=draft.rates[arm],
            precision=request.precision,
        ),
        seed=0,
        purpose="sweep",
        device=request.device,
    )


def _steps_of(draft: _Draft, arm: str, costs: dict[str, WarmUp], request: StudyRequest, scale: float) -> int:
    """The steps of an arm: everyone's, or as many as fit in the rival's seconds."""
    steps = max(1, round(draft.steps * scale))
    if request.match == "seconds":
        steps = max(1, round(steps * costs[request.rival].seconds_per_step / costs[arm].seconds_per_step))
    return steps


def _core_seconds(
    drafts: list[_Draft],
    costs: dict[str, dict[str, WarmUp]],
    request: StudyRequest,
    *,
    scale: float,
    runs: float,
) -> float:
    """Seconds on one core of ``runs`` runs of every arm of every task."""
    total = 0.0
    for draft in drafts:
        for arm, cost in costs[draft.choice.name].items():
            steps = _steps_of(draft, arm, costs[draft.choice.name], request, scale)
            total += steps * cost.seconds_per_step
            total += (draft.preset.evaluations + 2) * cost.seconds_per_evaluation
    return runs * total


def _fit_budget(
    drafts: list[_Draft],
    costs: dict[str, dict[str, WarmUp]],
    request: StudyRequest,
    *,
    seeds: int,
    sweep: bool,
    workers: int,
    steps_fixed: bool,
) -> tuple[float, int, float, list[str]]:
    """The scale of the steps and the number of seeds that fit; the seconds they take; what was cut."""
    available = request.budget_seconds - COST_SECONDS
    speed = workers * PARALLEL_EFFICIENCY

    def seconds(scale: float, num_seeds: int) -> float:
        runs = num_seeds + (START_SIZE * WIDENING if sweep else 0)
        return _core_seconds(drafts, costs, request, scale=scale, runs=runs) / speed

    if steps_fixed:
        scales: tuple[float, ...] = (1.0,)
    else:
        most = 8.0 if request.budget_seconds != 300.0 or request.tasks else 1.0
        scales = tuple(s for s in LADDER if s <= most)
    choices = [seeds] if request.seeds else sorted({seeds, FEWEST_SEEDS}, reverse=True)
    for num_seeds in choices:
        # Fewer steps than a third of the usual cost more knowledge than two seeds of five do.
        least = 0.3 if num_seeds > choices[-1] else 0.0
        for scale in scales:
            if scale >= least and seconds(scale, num_seeds) <= available:
                return scale, num_seeds, seconds(scale, num_seeds), _cuts(seeds, num_seeds, scale)
    needed = seconds(scales[-1], choices[-1]) + COST_SECONDS
    raise InputError(
        f"--budget {request.budget_seconds:.0f}s is too small: the least this study needs here is about "
        f"{math.ceil(needed)}s. Raise it, or name fewer tasks, arms or seeds, or smaller sizes."
    )


def _cuts(asked_seeds: int, seeds: int, scale: float) -> list[str]:
    cuts = []
    if seeds < asked_seeds:
        cuts.append(f"{seeds} seeds instead of {asked_seeds}, to fit the budget.")
    if scale < 1:
        cuts.append(f"Every run was planned with {scale:.0%} of the usual steps, to fit the budget.")
    return cuts


def _task_plan(
    draft: _Draft,
    costs: dict[str, WarmUp],
    floors: list[Any],
    request: StudyRequest,
    *,
    scale: float,
    sweep: bool,
) -> TaskPlan:
    task = draft.task
    sign = 1.0 if task.metric.higher_is_better else -1.0
    arms = []
    rival_sizes = sizes(draft.models[request.rival], task.signature)
    rival_seconds = (
        _steps_of(draft, request.rival, costs, request, scale) * costs[request.rival].seconds_per_step
    )
    for arm, model in draft.models.items():
        parameters, flops = sizes(model, task.signature)
        steps = _steps_of(draft, arm, costs, request, scale)
        matched = {
            "parameters": parameters / rival_sizes[0],
            "flops": flops / rival_sizes[1],
            "seconds": steps * costs[arm].seconds_per_step / rival_seconds,
        }[request.match]
        assert abs(matched - 1) <= TOLERANCE, f"{arm} is not matched: {matched}"
        rate = draft.rates[arm]
        arms.append(
            ArmPlan(
                arm=arm,
                model=model,
                steps=steps,
                rates=first_grid(rate) if sweep else (rate,),
                rate_source="swept here" if sweep else draft.preset.source or "shipped for another task",
                parameters=parameters,
                flops_per_token=flops,
                matched=matched,
                warm_up=costs[arm],
            )
        )
    return TaskPlan(
        task=draft.choice,
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
        tuned=sweep or draft.tuned,
        floors=tuple(FloorAnswer(name=f.name, value=f.value) for f in floors),
        trivial_floor=sign * max(sign * f.value for f in floors if f.guess),
        arms=tuple(arms),
        left_out=draft.left_out,
        notices=tuple(task.notices),
    )
