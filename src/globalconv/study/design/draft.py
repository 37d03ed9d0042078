"""A task on its way into a plan: its data, its sizes, and models that spend the same budget."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from globalconv.errors import InputError
from globalconv.mixers.catalogue import accepted, outside_source, takes_option
from globalconv.models.original import Design
from globalconv.study.design.arms import (
    DEFAULT_ARMS,
    DEFAULT_TWINS,
    LEAST_TELLING_ARMS,
    LEAST_TELLING_TWINS,
    mixers_of,
    twin_of,
)
from globalconv.study.design.build import match_models
from globalconv.study.design.check_arms import check_outside_mixers
from globalconv.study.design.memory import check_memory
from globalconv.study.design.presets import ANY_ARM_RATE, Preset, preset_for
from globalconv.study.design.reductions import (
    NARROWEST_WIDTH,
    SHALLOWEST,
    SMALLEST_BATCH,
    SMALLEST_BATCH_TOKENS,
    Reduction,
)
from globalconv.study.spec import DecoderSpec, ModelSpec, StudyRequest, TaskChoice
from globalconv.tasks import OFFERED, Task, build_task, resolve_task
from globalconv.tasks.base import Signature
from globalconv.tasks.patches import patched
from globalconv.tasks.table import Table
from globalconv.training.recipe import ORIGINAL_RECIPE

ORIGINAL_WARMUP = 0.2
"""A share of the steps. The paper's is 4,000 of 100,000; norms after the sum need hundreds, however short the run."""


@dataclass(frozen=True)
class OpenedTask:
    """A task's data, and where a study of it starts from."""

    task: Task
    preset: Preset
    as_shipped: bool
    """Everything that was asked for is what the shipped rates were measured with."""

    @cached_property  # every draft of every arm asks, and it goes through the splits
    def num_held_out(self) -> tuple[int, int]:
        """Examples of the validation split and of the test split."""
        return self.task.num_examples("validation"), self.task.num_examples("test")

    @property
    def pairs(self) -> bool:
        """Whether its models are encoder-decoders."""
        return self.task.signature.kind == "sequence_to_sequence"


@dataclass(frozen=True)
class Draft:
    """A task whose sizes are decided and whose models are matched; what a step costs is not known yet."""

    opened: OpenedTask
    signature: Signature
    """The task's signature once its positions are joined to ``patch``es."""
    patch: int | None
    """Positions per token, of a table; None for other tasks."""
    width: int
    depth: int
    steps: int
    batch_size: int
    rates: dict[str, float]
    models: dict[str, ModelSpec]
    left_out: dict[str, str]
    """Arms that cannot run, with the reason."""
    spared: dict[str, str]
    """Arms that could, and are left out to fit the budget."""
    design: Design | None
    notices: tuple[str, ...]
    cuts: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the report calls the task."""
        return self.opened.task.name

    @property
    def preset(self) -> Preset:
        """Where its sizes come from."""
        return self.opened.preset

    @property
    def recipe(self) -> dict[str, Any]:
        """The paper's training settings for its own design; the defaults for everything else."""
        return ORIGINAL_RECIPE | {"warmup": ORIGINAL_WARMUP} if self.design == "original" else {}

    def task(self) -> Task:
        """The task at these sizes."""
        task = self.opened.task
        if self.patch in (None, task.options.get("patch")):
            return task
        return build_task(task.kind, task.options | {"patch": self.patch})

    def choice(self) -> TaskChoice:
        """The task as any process can rebuild it."""
        task = self.task()
        return TaskChoice(name=task.name, kind=task.kind, options=task.options, digest=task.digest)


def open_task(name: str, request: StudyRequest) -> OpenedTask:
    """Read the data of the task called ``name``. Raises InputError for what cannot be studied."""
    kind, options = resolve_task(name, {option: getattr(request, option) for option in OFFERED})
    preset = preset_for(kind, request.budget_seconds, own_data="path" in options)
    task = build_task(kind, preset.options | options)
    if request.design is not None and task.signature.kind != "sequence_to_sequence":
        raise InputError(f"--design {request.design}: {task.name} has no encoder-decoder; leave it out.")
    as_measured = all(
        asked is None or asked == shipped
        for asked, shipped in (
            (request.depth, preset.depth),
            (request.width, preset.width),
            (request.heads, preset.heads),
            (request.batch_size, preset.batch_size),
            (request.design, preset.design),
        )
    )
    known = all(arm in preset.rates for arm in (request.rival, *request.arms))
    return OpenedTask(
        task,
        preset,
        as_shipped=preset.source is not None
        and as_measured
        and known
        and (not options or task.options == build_task(kind, preset.options).options),
    )


def draft(opened: OpenedTask, request: StudyRequest, reduction: Reduction, *, workers: int) -> Draft:
    """The sizes and models of a task, as far as ``reduction`` cuts them down.

    Raises InputError for arms that are none, and for sizes that ``workers`` runs side by side cannot hold.
    """
    task, preset = opened.task, opened.preset
    if opened.as_shipped:  # at other sizes its rates would not be tuned
        reduction = Reduction(arms_left_out=reduction.arms_left_out)
    cuts = []

    patch = _patch(task, request, reduction)
    signature = patched(task.signature, patch) if patch and request.patch is None else task.signature
    if signature.length != task.signature.length:
        cuts.append(
            f"{patch} consecutive positions form one token, so that a sequence has {signature.length} tokens instead "
            f"of {task.signature.length}"
        )
    depth = request.depth or max(min(SHALLOWEST, preset.depth), preset.depth // reduction.depth_divisor)
    width = request.width or max(min(NARROWEST_WIDTH, preset.width), preset.width // reduction.width_divisor)
    batch_size = request.batch_size or _batch_size(preset, signature, reduction)
    for what, size, usual in (
        ("width", width, request.width or preset.width),
        ("depth", depth, request.depth or preset.depth),
        ("batch size", batch_size, request.batch_size or preset.batch_size),
    ):
        if size != usual:
            cuts.append(f"{what} {size} instead of {usual}")

    check_memory(
        task.name,
        signature,
        width=width,
        depth=depth,
        mlp_ratio=preset.mlp_ratio,
        batch_size=batch_size,
        workers=workers,
    )
    names = request.arms or (DEFAULT_TWINS if opened.pairs else DEFAULT_ARMS)
    arms = list(dict.fromkeys([request.rival, *names]))
    models, left_out = _models(arms, opened, request, signature, width, depth)
    least_telling = LEAST_TELLING_TWINS if opened.pairs else LEAST_TELLING_ARMS
    could = [arm for arm in least_telling if arm in models and arm != request.rival and not request.arms]
    spared = could[: reduction.arms_left_out]
    models = {arm: model for arm, model in models.items() if arm not in spared}

    notices = [_what_twins_share(models)] if opened.pairs else []
    notices += _shared_filters(models)
    return Draft(
        opened=opened,
        signature=signature,
        patch=patch,
        width=width,
        depth=depth,
        steps=request.steps or preset.steps,
        batch_size=batch_size,
        rates={arm: preset.rates.get(arm, ANY_ARM_RATE) for arm in models},
        models=models,
        left_out=left_out,
        spared=dict.fromkeys(spared, "left out to fit the budget"),
        design=request.design or preset.design,
        notices=tuple(notices),
        cuts=tuple(f"{task.name}: {cut}." for cut in cuts),
    )


def _patch(task: Task, request: StudyRequest, reduction: Reduction) -> int | None:
    """How many positions of a table's sequences form one token; None where a task has no such choice."""
    if not isinstance(task, Table):
        return None
    if request.patch is not None:
        return request.patch
    length = task.signature.length
    shortest = reduction.longest or length
    return 1 << max(0, math.ceil(math.log2(length / shortest)))


def _batch_size(preset: Preset, signature: Signature, reduction: Reduction) -> int:
    least = SMALLEST_BATCH
    if signature.kind == "next_token":  # each of its tokens is an example
        least = max(1, SMALLEST_BATCH_TOKENS // signature.length)
    return max(min(least, preset.batch_size), preset.batch_size // reduction.batch_divisor)


def _models(
    arms: list[str],
    opened: OpenedTask,
    request: StudyRequest,
    signature: Signature,
    width: int,
    depth: int,
) -> tuple[dict[str, ModelSpec], dict[str, str]]:
    """The arms' models, matched to the rival's; and those that cannot run or be matched, with the reason."""
    preset, task = opened.preset, opened.task
    heads = request.heads or _heads(width, preset)
    left_out: dict[str, str] = {}
    models: dict[str, ModelSpec] = {}
    for arm in arms:
        if opened.pairs:
            model = _twin_spec(arm, depth, width, heads, preset, request.design or preset.design)
        else:
            model = _model_spec(arm, depth, width, heads, preset)
        hidden = model.mixers if model.decoder is None else model.decoder.mixers
        if signature.causal and "token_mlp" in hidden:
            left_out[arm] = "token_mlp mixes all positions and is not causal; this task hides the future"
        else:
            models[arm] = model
    check_outside_mixers(models, signature, device=request.device)
    rival = request.rival
    if rival in models:
        models, unmatched = match_models(models, rival, signature, on=request.match)
        left_out |= unmatched
    else:
        raise InputError(f"the rival '{rival}' cannot run on {task.name}: {left_out[rival]}.")
    if len(models) < 2:
        why = "".join(f" {arm} is left out: {reason}." for arm, reason in left_out.items())
        raise InputError(f"{task.name} is left with the rival alone; name another arm with --arms.{why}")
    if request.heads is not None and not any(map(_has_heads, models.values())):
        raise InputError(f"--heads {request.heads}: no arm has attention; leave it out.")
    return models, left_out


def _heads(width: int, preset: Preset) -> int:
    """As many heads of the preset's width as ``width`` holds evenly; rotary positions turn pairs of channels."""
    most = max(1, width * preset.heads // preset.width)
    return next((heads for heads in range(most, 0, -1) if width % (2 * heads) == 0), 1)


def _model_spec(arm: str, depth: int, width: int, heads: int, preset: Preset) -> ModelSpec:
    """An arm's model before its channel MLP is matched."""
    names = mixers_of(arm, depth)
    own_options = {name: own for name in names if (own := accepted(name, {"num_heads": heads}))}
    return ModelSpec(
        mixers=names,
        mixer_options=own_options,
        sources=_sources(names),
        width=width,
        mlp_width=preset.mlp_ratio * width,
    )


def _twin_spec(
    arm: str, depth: int, width: int, heads: int, preset: Preset, design: Design | None
) -> ModelSpec:
    """An encoder-decoder's model before its channel MLP is matched."""
    twin = twin_of(arm, depth)
    assert design is not None
    return ModelSpec(
        mixers=twin.encoder,
        mixer_options={},
        sources=_sources((*twin.encoder, *twin.decoder)),
        width=width,
        mlp_width=preset.mlp_ratio * width,
        decoder=DecoderSpec(
            mixers=twin.decoder, cross=twin.cross, heads=heads, design=design, dropout=preset.dropout
        ),
    )


def _sources(names: tuple[str, ...]) -> dict[str, str]:
    return {name: source for name in set(names) if (source := outside_source(name))}


def _has_heads(model: ModelSpec) -> bool:
    """Whether any part of it takes a number of heads, attention to the encoder's output too."""
    cross = None if model.decoder is None else model.decoder.cross
    return cross == "attention" or any(takes_option(name, "num_heads") for name in model.all_mixers)


def _what_twins_share(models: dict[str, ModelSpec]) -> str:
    """What an arm of this name replaces, and what it does not."""
    without = [arm for arm, model in models.items() if model.decoder and model.decoder.cross != "attention"]
    design = next(model.decoder.design for model in models.values() if model.decoder)
    but = f" but {', '.join(without)}" if without else ""
    return (
        f"Encoder-decoders of the {design} design. Arms replace self-attention; all{but} keep cross-attention, so "
        "that a verdict speaks of self-attention."
    )


def _shared_filters(models: dict[str, ModelSpec]) -> list[str]:
    """Arms whose filters are shared by channels, in a sentence."""
    shared: dict[int, list[str]] = {}
    for arm, model in models.items():
        for options in model.mixer_options.values():
            if (filters := options.get("num_filters")) is not None:
                shared.setdefault(filters, [])
                shared[filters] += [arm] if arm not in shared[filters] else []
    width = next(iter(models.values())).width
    return [
        f"{' and '.join(arms)}: every {width // filters} channels share one filter ({filters} "
        f"filter{'s' * (filters > 1)}), so that the parameters match the rival's. With a larger --width, or a shorter "
        "sequence, each channel has its own."
        for filters, arms in shared.items()
    ]
