"""Decide, before any training, what a study trains: arms, sizes, steps, rates, seeds, within a budget."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import globalconv
from globalconv.errors import InputError
from globalconv.mixers.catalogue import outside_source
from globalconv.study.answer import FloorAnswer
from globalconv.study.arms import DEFAULT_ARMS, DEFAULT_TWINS, attends, mixers_of, twin_of
from globalconv.study.budget import COST_SECONDS, Load, Terms, check_spent, fit_budget
from globalconv.study.build import TOLERANCE, match_models, sizes
from globalconv.study.presets import ANY_ARM_RATE, SERIOUS_BUDGET_SECONDS, Preset, preset_for
from globalconv.study.spec import (
    ArmPlan,
    DecoderSpec,
    ModelSpec,
    RunSpec,
    StudyPlan,
    StudyRequest,
    TaskChoice,
    TaskPlan,
    WarmUp,
)
from globalconv.study.sweep import first_grid
from globalconv.tasks import OFFERED, Task, build_task, resolve_task
from globalconv.training.recipe import ORIGINAL_RECIPE
from globalconv.training.settings import TrainingSettings

DEFAULT_TASKS = ("recall", "digits", "text")
ORIGINAL_WARMUP = 0.2
"""Of the steps. The paper's is 4,000 of 100,000; norms after the sum need hundreds, however short the run."""
WarmUps = Callable[[Sequence[RunSpec], float], Generator[tuple[int, WarmUp | None], None, None]]
"""(specs, until) -> (a spec's index, its warm-up), as they end. None: ``until``, of time.monotonic, came before."""
Costs = dict[str, dict[str, WarmUp]]
"""Task -> arm -> what was measured, as far as it was."""


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
    notices: list[str]


def make_plan(request: StudyRequest, *, command: str, workers: int, warm_ups: WarmUps) -> StudyPlan:
    """Plan the study that ``request`` asks for.

    ``warm_ups`` times each arm for a few steps. Raises InputError for anything that cannot be run,
    naming the fix, and for a budget that does not hold three seeds at a sixteenth of the usual steps: as soon
    as that is certain, so that measuring takes no longer than the budget.
    """
    started = time.monotonic()
    if request.margin is not None and not 0 <= request.margin < math.inf:
        raise InputError(
            f"--margin {request.margin:g}: give a difference that you would not mind, 0 or more."
        )
    serious = request.budget_seconds >= SERIOUS_BUDGET_SECONDS
    terms = Terms(
        budget=request.budget_seconds,
        workers=workers,
        sweep=request.sweep if request.sweep is not None else serious,
        seeds=request.seeds or (5 if serious else 3),
        fixed_sweep=request.sweep is not None,
        fixed_seeds=request.seeds is not None,
        fixed_steps=request.steps is not None,
    )

    def spent() -> float:
        return time.monotonic() - started

    drafts: list[_Draft] = []
    for name in request.tasks or DEFAULT_TASKS:
        check_spent([], terms, spent=spent(), arms=None)
        drafts.append(_draft(name, request))
    names = [draft.choice.name for draft in drafts]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"two tasks are called '{twice}'. Name each task once; files of one name must be renamed."
        )
    if request.sweep is None and any(not draft.tuned for draft in drafts):
        terms = replace(terms, sweep=True)

    costs: Costs = {name: {} for name in names}
    arms = [(draft, arm) for draft in drafts for arm in draft.models]

    def check() -> None:
        check_spent(_loads(drafts, costs, request), terms, spent=spent(), arms=len(arms))

    check()
    specs = [_warm_up_spec(draft, arm, request) for draft, arm in arms]
    with closing(warm_ups(specs, started + terms.budget - COST_SECONDS)) as measured:
        for index, cost in measured:
            draft, arm = arms[index]
            if cost is not None:
                costs[draft.choice.name][arm] = cost
            check()  # without a cost the time is up, and this ends it

    floors = {}
    for draft in drafts:
        check()
        floors[draft.choice.name] = draft.task.floors()
    planning_seconds = spent()
    fitted = fit_budget(_loads(drafts, costs, request), terms, spent=planning_seconds)
    return StudyPlan(
        globalconv_version=globalconv.__version__,
        command=command,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        request=request,
        tasks=tuple(
            _task_plan(
                d, costs[d.choice.name], floors[d.choice.name], request, scale=fitted.scale, sweep=terms.sweep
            )
            for d in drafts
        ),
        sweep=terms.sweep,
        seeds=tuple(range(fitted.seeds)),
        workers=workers,
        planning_seconds=planning_seconds,
        estimated_seconds=fitted.seconds,
        cuts=fitted.cuts,
    )


def _draft(name: str, request: StudyRequest) -> _Draft:
    kind, options = resolve_task(name, {option: getattr(request, option) for option in OFFERED})
    preset = preset_for(kind, request.budget_seconds)
    task = build_task(kind, preset.options | options)
    depth, width = request.depth or preset.depth, request.width or preset.width
    pairs = task.signature.kind == "sequence_to_sequence"
    if request.design is not None and not pairs:
        raise InputError(f"--design {request.design}: {task.name} has no encoder-decoder; leave it out.")
    arms = list(dict.fromkeys([request.rival, *(request.arms or (DEFAULT_TWINS if pairs else DEFAULT_ARMS))]))
    left_out: dict[str, str] = {}
    models: dict[str, ModelSpec] = {}
    for arm in arms:
        model = (_twin_spec if pairs else _model_spec)(arm, depth, width, preset, request)
        hidden = model.mixers if model.decoder is None else model.decoder.mixers
        if task.signature.causal and "token_mlp" in hidden:
            left_out[arm] = "token_mlp mixes all positions and is not causal; this task hides the future"
        else:
            models[arm] = model
    if request.rival in left_out:
        raise InputError(f"the rival '{request.rival}' cannot run on {task.name}: {left_out[request.rival]}.")
    if len(models) < 2:
        why = "".join(f" {arm} is left out: {reason}." for arm, reason in left_out.items())
        raise InputError(f"{task.name} is left with the rival alone; name another arm with --arms.{why}")

    if request.heads is not None and not any(map(_has_heads, models.values())):
        raise InputError(f"--heads {request.heads}: no arm has attention; leave it out.")

    models, mlp_ratio = match_models(
        models, request.rival, task.signature, on=request.match, mlp_ratio=preset.mlp_ratio
    )
    notices = [_what_twins_share(models)] if pairs else []
    if mlp_ratio != preset.mlp_ratio:
        notices.append(
            f"The rival's channel MLP is {mlp_ratio} times as wide as the model instead of {preset.mlp_ratio} times, "
            f"so that mixers with weights per position (length {task.signature.length}) fit the same budget."
        )
    as_measured = all(
        asked is None or asked == shipped
        for asked, shipped in (
            (request.depth, preset.depth),
            (request.width, preset.width),
            (request.heads, preset.heads),
            (request.batch_size, preset.batch_size),
            (request.design, preset.design),
            (mlp_ratio, preset.mlp_ratio),
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
        tuned=preset.source is not None
        and as_measured
        and known
        and not own_data
        and (not options or task.options == build_task(kind, preset.options).options),
        notices=notices,
    )


def _model_spec(arm: str, depth: int, width: int, preset: Preset, request: StudyRequest) -> ModelSpec:
    """An arm's model before its channel MLP is matched."""
    names = mixers_of(arm, depth)
    own_options = {"attention": {"num_heads": request.heads or preset.heads}}
    return ModelSpec(
        mixers=names,
        mixer_options={name: own_options[name] for name in names if name in own_options},
        sources=_sources(names),
        width=width,
        mlp_width=preset.mlp_ratio * width,
    )


def _twin_spec(arm: str, depth: int, width: int, preset: Preset, request: StudyRequest) -> ModelSpec:
    """Likewise, of an encoder-decoder."""
    twin = twin_of(arm, depth)
    design = request.design or preset.design
    assert design is not None
    return ModelSpec(
        mixers=twin.encoder,
        mixer_options={},
        sources=_sources((*twin.encoder, *twin.decoder)),
        width=width,
        mlp_width=preset.mlp_ratio * width,
        decoder=DecoderSpec(
            mixers=twin.decoder,
            cross=twin.cross,
            heads=request.heads or preset.heads,
            design=design,
            dropout=preset.dropout,
        ),
    )


def _sources(names: tuple[str, ...]) -> dict[str, str]:
    return {name: source for name in set(names) if (source := outside_source(name))}


def _has_heads(model: ModelSpec) -> bool:
    """Whether any of it is attention, that to the encoder's output too."""
    return attends(model.all_mixers) or (model.decoder is not None and attends((model.decoder.cross,)))


def _what_twins_share(models: dict[str, ModelSpec]) -> str:
    """What an arm of this name replaces, and what it does not."""
    without = [arm for arm, model in models.items() if model.decoder and model.decoder.cross != "attention"]
    design = next(model.decoder.design for model in models.values() if model.decoder)
    but = f" but {', '.join(without)}" if without else ""
    return (
        f"Encoder-decoders of the {design} design. Arms replace self-attention; all{but} keep cross-attention, so "
        "that a verdict speaks of self-attention."
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
            **_recipe(draft, request),
        ),
        seed=0,
        purpose="sweep",
        device=request.device,
    )


def _recipe(draft: _Draft, request: StudyRequest) -> dict[str, Any]:
    """The paper's settings for its own design; the defaults for everything else."""
    design = request.design or draft.preset.design
    return ORIGINAL_RECIPE | {"warmup": ORIGINAL_WARMUP} if design == "original" else {}


def _loads(drafts: Sequence[_Draft], costs: Costs, request: StudyRequest) -> list[Load]:
    """Of the arms measured so far. Where seconds are matched, a task's need those of its rival first."""
    return [
        Load.of(
            cost,
            steps=_steps(draft, arm, costs[draft.choice.name], request),
            evaluations=draft.preset.evaluations,
        )
        for draft in drafts
        for arm, cost in costs[draft.choice.name].items()
        if request.match != "seconds" or request.rival in costs[draft.choice.name]
    ]


def _steps(
    draft: _Draft, arm: str, costs: dict[str, WarmUp], request: StudyRequest, *, scale: float = 1.0
) -> int:
    """The steps of an arm: everyone's, or as many as fit in the rival's seconds."""
    steps = max(1, round(draft.steps * scale))
    if request.match == "seconds":
        rival = costs[request.rival]
        steps = max(1, round(steps * rival.seconds_per_step / costs[arm].seconds_per_step))
    return steps


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
        recipe=_recipe(draft, request),
        tuned=sweep or draft.tuned,
        floors=tuple(FloorAnswer(name=f.name, value=f.value, extra_metrics=f.extra_metrics) for f in floors),
        trivial_floor=sign * max(sign * f.value for f in floors if f.guess),
        arms=tuple(arms),
        left_out=draft.left_out,
        notices=(*task.notices, *draft.notices),
    )
