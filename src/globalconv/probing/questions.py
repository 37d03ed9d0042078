"""All probes to run: those of the target, and those of the three claims, with the time that each takes."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.probes import (
    ContentDependence,
    Interaction,
    InteractionOrder,
    causality,
    content_dependence,
    equivariance,
    interaction,
    interaction_order,
    position_awareness,
    reach,
    subject_of,
    token_jacobian,
)
from globalconv.probes.graph import kinks
from globalconv.probes.memory import Progress
from globalconv.probes.subject import Subject
from globalconv.probing.bare_stack import BareStack
from globalconv.probing.target import DEPTH, ProbeRequest, Target, drawn_inputs, is_mixer, mixers_for
from globalconv.probing.time_estimate import pace_of

CONTESTANTS = ("global_conv", "gated_conv", "attention")
EXACT_ROWS = 1 << 14
"""The most backward passes for which the token Jacobian is computed exactly."""
MAPS_AFTER = (1, 2)


class Result(Protocol):
    """The interface of every probe's result."""

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def line(self) -> str: ...

    def plot(self, ax: Any = None) -> Any: ...


@dataclass
class Findings:
    """The results of the probes of the target, and of every mixer that is compared for the three claims.

    ``orders``: name -> depth -> order, for mixers in bare stacks with squares between them, for other models from the
    input to a layer. ``maps``: name -> number of layers -> map. ``contents``: name -> one result per layer's mixer.
    """

    results: dict[str, Result] = field(default_factory=dict)
    not_asked: dict[str, str] = field(default_factory=dict)
    orders: dict[str, dict[int, InteractionOrder]] = field(default_factory=dict)
    maps: dict[str, dict[int, Interaction]] = field(default_factory=dict)
    contents: dict[str, list[ContentDependence]] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A probe to run: its name, the estimated seconds, and a function that runs it."""

    name: str
    seconds: float
    ask: Callable[[Findings, Progress], None]


def questions(target: Target, request: ProbeRequest) -> Iterator[Question]:
    """All probes to run, in order. Times a few evaluations on the way to estimate how long each takes.

    Raises InputError if the target cannot be probed, or not within the memory limit.
    """
    subject = subject_of(target.model, target.inputs, at=request.at, memory=request.memory)
    cost = _Cost(subject, request)
    yield from _of_target(target, request, cost)
    if is_mixer(request.subject):
        for name in dict.fromkeys((*CONTESTANTS, request.subject)):
            yield from _of_mixer(name, request)
    else:
        yield from _of_layers(target, request, cost)


class _Cost:
    """The estimated seconds of each probe: the number of rows that it evaluates times the measured time of a row."""

    def __init__(self, subject: Subject, request: ProbeRequest) -> None:
        self.pace = pace_of(subject)
        self.limit = request.limit
        self.examples, self.length, _ = subject.points.shape
        self.outputs, self.channels = subject.output
        self.smooth = not kinks(subject.function, subject.points[:1])
        kept = 8 * _default(interaction, "samples") * self.length**2
        if kept > request.memory:
            raise InputError(
                f"a map of all pairs of {self.length} tokens needs {format_bytes(kept)}, but --memory is "
                f"{format_bytes(request.memory)}. Give a smaller --length or more --memory."
            )

    @property
    def directions(self) -> int | None:
        """The number of random output directions per token; None: all, which is exact."""
        return None if self.examples * self.outputs * self.channels <= EXACT_ROWS else 2

    def influence(self) -> float:
        return self.pace.gradients(self.examples * self.outputs * (self.directions or self.channels))

    def reach(self, layers: int) -> float:
        return self.pace.gradients(2 * layers * self.examples * self.length)

    def causality(self) -> float:
        return self.pace.values(_default(causality, "draws") * self.examples * self.length)

    def interaction(self) -> float:
        samples = _default(interaction, "samples")
        if self.smooth:
            return self.pace.second_derivatives(samples * self.examples * self.length)
        return self.pace.values(samples * self.examples * self.length * (self.length + 1) // 2)

    def order(self) -> float:
        return self.pace.values(_default(interaction_order, "draws") * 2 ** min(self.limit, self.length))

    def content(self) -> float:
        return self.pace.gradients(_default(content_dependence, "directions") * self.examples)

    def equivariance(self) -> float:
        return self.pace.values(_default(equivariance, "draws") * self.examples)

    def positions(self) -> float:
        each = _default(position_awareness, "fitted") + _default(position_awareness, "tried")
        return self.pace.values(_default(position_awareness, "places") * each)


def _default(probe: Callable[..., Any], option: str) -> int:
    """The default of a probe's option."""
    return int(inspect.signature(probe).parameters[option].default)


def _of_target(target: Target, request: ProbeRequest, cost: _Cost) -> Iterator[Question]:
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}
    there = {"at": request.at, **common}
    layers = target.layers or None
    probes: dict[str, tuple[float, Callable[..., Result]]] = {
        "influence": (cost.influence(), partial(token_jacobian, directions=cost.directions, **there)),
        "reach": (cost.reach(len(target.layers) or 1), partial(reach, layers=layers, **common)),
        "causality": (cost.causality(), partial(causality, **there)),
        "interaction": (cost.interaction(), partial(interaction, **there)),
        "interaction order": (cost.order(), partial(interaction_order, limit=request.limit, **there)),
        "content dependence": (cost.content(), partial(content_dependence, **there)),
        "shifts": (cost.equivariance(), partial(equivariance, move="shift", **there)),
        "permutations": (cost.equivariance(), partial(equivariance, move="permutation", **there)),
        "positions": (cost.positions(), partial(position_awareness, **there)),
    }
    for name, (seconds, probe) in probes.items():
        if name in target.meaningless:
            seconds = 0.0

        def ask(
            findings: Findings,
            progress: Progress,
            name: str = name,
            probe: Callable[..., Result] = probe,
        ) -> None:
            if name in target.meaningless:
                findings.not_asked[name] = target.meaningless[name]
                return
            try:
                findings.results[name] = probe(target.model, target.inputs, progress=progress)
            except InputError as error:  # a model may support some probes and not others
                findings.not_asked[name] = str(error)

        yield Question(name, seconds, ask)


def _of_mixer(name: str, request: ProbeRequest) -> Iterator[Question]:
    inputs = drawn_inputs(request).to(request.device)
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}

    def bare(layers: int, nonlinearity: Callable[..., Any]) -> BareStack:
        mixers = [mixer.to(request.device) for mixer in mixers_for(name, layers, request)]
        return BareStack(mixers, nonlinearity, inputs)

    def order(findings: Findings, progress: Progress, depth: int) -> None:
        found = findings.orders.setdefault(name, {})
        if not any(o.order == o.limit for o in found.values()):  # the order does not fall with more layers
            model = bare(depth, torch.square)
            found[depth] = interaction_order(model, inputs, limit=request.limit, progress=progress, **common)

    def map_after(findings: Findings, progress: Progress, layers: int) -> None:
        found = interaction(bare(layers, F.gelu), inputs, progress=progress, **common)
        findings.maps.setdefault(name, {})[layers] = found

    def content(findings: Findings, progress: Progress) -> None:
        (mixer,) = mixers_for(name, 1, request)
        found = content_dependence(mixer.to(request.device), inputs, progress=progress, **common)
        findings.contents[name] = [found]

    cost = _Cost(subject_of(bare(1, F.gelu), inputs, memory=request.memory), request)
    for depth in range(1, (request.depth or DEPTH) + 1):
        yield Question(f"{name}, order at depth {depth}", depth * cost.order(), partial(order, depth=depth))
    for layers in MAPS_AFTER:
        seconds = layers * cost.interaction()
        yield Question(f"{name}, interactions after {layers}", seconds, partial(map_after, layers=layers))
    yield Question(f"{name}, content", cost.content(), content)


def _of_layers(target: Target, request: ProbeRequest, cost: _Cost) -> Iterator[Question]:
    model, inputs = target.model, target.inputs
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}
    if request.at is not None:  # only that submodule, as one layer
        stretches: list[dict[str, Any]] = [{"at": request.at}]
    else:
        stretches = [{"until": layer} for layer in target.layers or (None,)]

    def order(findings: Findings, progress: Progress, depth: int) -> None:
        options = stretches[depth - 1] | common
        found = interaction_order(model, inputs, limit=request.limit, progress=progress, **options)
        findings.orders.setdefault(target.name, {})[depth] = found

    def map_after(findings: Findings, progress: Progress, layers: int) -> None:
        found = interaction(model, inputs, progress=progress, **stretches[layers - 1], **common)
        findings.maps.setdefault(target.name, {})[layers] = found

    def content(
        findings: Findings, progress: Progress, part: nn.Module, reaching: Tensor, at: str | None
    ) -> None:
        found = content_dependence(part, reaching, at=at, progress=progress, **common)
        findings.contents.setdefault(target.name, []).append(found)

    for depth in range(1, len(stretches) + 1):
        part = depth / len(stretches)
        yield Question(f"order after layer {depth}", part * cost.order(), partial(order, depth=depth))
        if depth in MAPS_AFTER:
            name, seconds = f"interactions after layer {depth}", part * cost.interaction()
            yield Question(name, seconds, partial(map_after, layers=depth))
    for mixer in target.mixers or (None,):
        ask = partial(content, part=model, reaching=inputs, at=mixer)
        yield Question(f"content dependence of {mixer or 'the model'}", cost.content(), ask)
    for number, (cross, reaching) in enumerate(target.crossings):
        ask = partial(content, part=cross, reaching=reaching, at=None)
        yield Question(f"content dependence of cross mixer {number}", cost.content(), ask)
