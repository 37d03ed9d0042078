"""A task on its way into a plan: its data, its sizes, and models that spend the same budget."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from globalconv.errors import InputError
from globalconv.mixers.catalogue import accepted, looks_one_way, outside_source, takes_option
from globalconv.models.encoder_decoder_designs import Design
from globalconv.study.design.arms import (
    DEFAULT_ARMS,
    DEFAULT_TWINS,
    LEAST_TELLING_ARMS,
    LEAST_TELLING_TWINS,
    mixers_of,
    twin_of,
)
from globalconv.study.design.budget import Load
from globalconv.study.design.build import match_models
from globalconv.study.design.check_arms import check_outside_mixers
from globalconv.study.design.estimate import check_memory, estimate_warm_up
from globalconv.study.design.presets import ANY_ARM_RATE, Preset, preset_for
from globalconv.study.design.reductions import (
    NARROWEST_WIDTH,
    SHALLOWEST,
    SMALLEST_BATCH,
    SMALLEST_BATCH_TOKENS,
    Reduction,
)
from globalconv.study.spec import DecoderSpec, ModelSpec, StudyRequest, TaskChoice, WarmUp
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
    request: StudyRequest
    preset: Preset
    as_shipped: bool
    """The request does not differ from what the shipped rates were measured with."""

    @cached_property  # every draft of every arm asks, and it goes through the splits
    def num_held_out(self) -> tuple[int, int]:
        """Examples of the validation split and of the test split."""
        return self.task.num_examples("validation"), self.task.num_examples("test")

    @property
    def pairs(self) -> bool:
        """Whether its models are encoder-decoders."""
        return self.task.signature.kind == "sequence_to_sequence"

    @property
    def design(self) -> Design | None:
        """The design of its encoder-decoders; None for other models."""
        return self.request.design or self.preset.design


@dataclass(frozen=True)
class Draft:
    """A task whose sizes are decided and whose models are matched."""

    opened: OpenedTask
    signature: Signature
    """The task's signature once its positions are joined to ``patch``es."""
    patch: int | None
    """Positions per token, of a table; None for other tasks."""
    depth: int
    batch_size: int
    models: dict[str, ModelSpec]
    warm_ups: dict[str, WarmUp]
    """Arm -> what its steps cost, estimated until it is measured."""
    left_out: dict[str, str]
    """Arms that cannot run, with the reason."""
    notices: tuple[str, ...]
    cuts: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the report calls the task."""
        return self.opened.task.name

    @property
    def recipe(self) -> dict[str, Any]:
        """The paper's training settings for its own design; the defaults for everything else."""
        return ORIGINAL_RECIPE | {"warmup": ORIGINAL_WARMUP} if self.opened.design == "original" else {}

    def rate(self, arm: str) -> float:
        """The learning rate of an arm, or the middle of its sweep."""
        return self.opened.preset.rates.get(arm, ANY_ARM_RATE)

    def steps(self, arm: str, *, scale: float = 1.0) -> int:
        """The steps of an arm: everyone's, or as many as fit in the rival's seconds."""
        request = self.opened.request
        steps = max(1, round((request.steps or self.opened.preset.steps) * scale))
        if request.match == "seconds":
            rival, own = self.warm_ups[request.rival], self.warm_ups[arm]
            steps = max(1, round(steps * rival.seconds_per_step / own.seconds_per_step))
        return steps

    def loads(self) -> list[Load]:
        """What a run of each arm costs."""
        evaluations = self.opened.preset.evaluations
        return [
            Load.of(warm_up, steps=self.steps(arm), evaluations=evaluations)
            for arm, warm_up in self.warm_ups.items()
        ]

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
    as_shipped = (
        preset.source is not None
        and all(
            getattr(request, size) in (None, getattr(preset, size))
            for size in ("depth", "width", "heads", "batch_size", "design")
        )
        and all(arm in preset.rates for arm in (request.rival, *request.arms))
        and (not options or task.options == build_task(kind, preset.options).options)
    )
    return OpenedTask(task, request, preset, as_shipped)


def draft(opened: OpenedTask, reduction: Reduction, *, workers: int, pace: float = 1.0) -> Draft:
    """The sizes and models of a task, as far as ``reduction`` cuts them down.

    ``pace``: seconds over those that arithmetic alone gives. Raises InputError for arms that are none, and for sizes
    that ``workers`` runs side by side cannot hold.
    """
    task, preset, request = opened.task, opened.preset, opened.request
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
    sizes = {
        "width": max(min(NARROWEST_WIDTH, preset.width), preset.width // reduction.width_divisor),
        "depth": max(min(SHALLOWEST, preset.depth), preset.depth // reduction.depth_divisor),
        "batch_size": _batch_size(preset, signature, reduction),
    }
    for what, size in sizes.items():
        asked, usual = getattr(request, what), getattr(preset, what)
        if asked:
            sizes[what] = asked
        elif size != usual:
            cuts.append(f"{what.replace('_', ' ')} {size} instead of {usual}")

    check_memory(task.name, signature, mlp_ratio=preset.mlp_ratio, workers=workers, **sizes)
    names = request.arms or (DEFAULT_TWINS if opened.pairs else DEFAULT_ARMS)
    arms = list(dict.fromkeys([request.rival, *names]))
    models, left_out = _models(arms, opened, signature, sizes["width"], sizes["depth"])
    least_telling = LEAST_TELLING_TWINS if opened.pairs else LEAST_TELLING_ARMS
    could = [arm for arm in least_telling if arm in models and arm != request.rival and not request.arms]
    spared = could[: reduction.arms_left_out]
    models = {arm: model for arm, model in models.items() if arm not in spared}
    cuts += [f"{arm} is left out to fit the budget" for arm in spared]

    notices = [_what_twins_share(models)] if opened.pairs else []
    notices += _shared_filters(models)
    return Draft(
        opened=opened,
        signature=signature,
        patch=patch,
        depth=sizes["depth"],
        batch_size=sizes["batch_size"],
        models=models,
        warm_ups={
            arm: estimate_warm_up(
                model,
                signature,
                batch_size=sizes["batch_size"],
                held_out=opened.num_held_out,
                device=request.device,
                pace=pace,
            )
            for arm, model in models.items()
        },
        left_out=left_out,
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
    arms: list[str], opened: OpenedTask, signature: Signature, width: int, depth: int
) -> tuple[dict[str, ModelSpec], dict[str, str]]:
    """The arms' models, matched to the rival's; and those that cannot run or be matched, with the reason."""
    request = opened.request
    left_out: dict[str, str] = {}
    models: dict[str, ModelSpec] = {}
    for arm in arms:
        model = _model_spec(arm, opened, width, depth)
        reason = _one_way(model, signature)
        if reason is None:
            models[arm] = model
        else:
            left_out[arm] = reason
    check_outside_mixers(models, signature, device=request.device)
    rival, name = request.rival, opened.task.name
    if rival not in models:
        raise InputError(f"the rival '{rival}' cannot run on {name}: {left_out[rival]}.")
    models, unmatched = match_models(models, rival, signature, on=request.match)
    left_out |= unmatched
    if len(models) < 2:
        why = "".join(f" {arm} is left out: {reason}." for arm, reason in left_out.items())
        raise InputError(f"{name} is left with the rival alone; name another arm with --arms.{why}")
    if request.heads is not None and not any(map(_has_heads, models.values())):
        raise InputError(f"--heads {request.heads}: no arm has attention; leave it out.")
    return models, left_out


def _one_way(model: ModelSpec, signature: Signature) -> str | None:
    """Why a mixer of ``model`` cannot stand where it does; None if all can."""
    sides = [(model.mixers, signature.causal)]
    if model.decoder is not None:
        sides = [(model.mixers, False), (model.decoder.mixers, True)]
    for names, causal in sides:
        for name in dict.fromkeys(names):
            if looks_one_way(name, width=model.width, length=signature.length, causal=causal):
                if causal:
                    return f"{name} sees all positions and is not causal; this task hides the future"
                return f"{name} only looks back, and this task shows the whole sequence"
    return None


def _heads(width: int, preset: Preset) -> int:
    """The most heads, of the preset's width or wider, that divide ``width``; rotary positions need even head widths."""
    most = max(1, width * preset.heads // preset.width)
    return next((heads for heads in range(most, 0, -1) if width % (2 * heads) == 0), 1)


def _model_spec(arm: str, opened: OpenedTask, width: int, depth: int) -> ModelSpec:
    """An arm's model before its channel MLP is matched."""
    preset = opened.preset
    heads = opened.request.heads or _heads(width, preset)
    decoder = None
    if opened.pairs:
        assert opened.design is not None
        names, mixers, cross = twin_of(arm, depth)
        decoder = DecoderSpec(
            mixers=mixers, cross=cross, heads=heads, design=opened.design, dropout=preset.dropout
        )
    else:
        names = mixers_of(arm, depth)
    own_options = {name: own for name in names if (own := accepted(name, {"num_heads": heads}))}
    model = ModelSpec(
        mixers=names,
        mixer_options={} if decoder else own_options,
        width=width,
        mlp_width=preset.mlp_ratio * width,
        decoder=decoder,
    )
    sources = {name: source for name in set(model.all_mixers) if (source := outside_source(name))}
    return model.model_copy(update={"sources": sources})


def _has_heads(model: ModelSpec) -> bool:
    """Whether any part of it takes a number of heads, attention to the encoder's output too."""
    cross = None if model.decoder is None else model.decoder.cross
    return cross == "attention" or any(takes_option(name, "num_heads") for name in model.all_mixers)


def _what_twins_share(models: dict[str, ModelSpec]) -> str:
    """A sentence on what the arms of encoder-decoders replace."""
    without = [arm for arm, model in models.items() if model.decoder and model.decoder.cross != "attention"]
    design = next(model.decoder.design for model in models.values() if model.decoder)
    but = f" but {', '.join(without)}" if without else ""
    return (
        f"Encoder-decoders of the {design} design. Arms replace self-attention; all{but} keep cross-attention, so "
        "that a verdict speaks of self-attention."
    )


def _shared_filters(models: dict[str, ModelSpec]) -> list[str]:
    """A sentence for each number of filters that arms share among channels."""
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
