"""The questions: every probe to the target, and the question's three claims."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
from globalconv.probing.bare import BareStack
from globalconv.probing.target import DEPTH, ProbeRequest, Target, drawn_inputs, is_mixer, mixers_for

CONTESTANTS = ("global_conv", "gated_conv", "attention")
EXACT_ROWS = 1 << 14
"""Up to so many steps back through the model, the token Jacobian is computed exactly."""
MAPS_AFTER = (1, 2)


class Result(Protocol):
    """What every probe returns."""

    @property
    def notes(self) -> tuple[str, ...]: ...

    @property
    def line(self) -> str: ...

    def plot(self, ax: Any = None) -> Any: ...


@dataclass
class Findings:
    """What the probes found: of the target, and of each contestant for the three claims.

    ``orders``: name -> depth -> order; of mixers in bare stacks with squares between, of a model from its input on.
    ``maps``: name -> number of layers -> map. ``contents``: name -> for each layer's mixer, in place.
    """

    results: dict[str, Result] = field(default_factory=dict)
    not_asked: dict[str, str] = field(default_factory=dict)
    orders: dict[str, dict[int, InteractionOrder]] = field(default_factory=dict)
    maps: dict[str, dict[int, Interaction]] = field(default_factory=dict)
    contents: dict[str, list[ContentDependence]] = field(default_factory=dict)


Question = tuple[str, Callable[[Findings], None]]


def questions(target: Target, request: ProbeRequest) -> list[Question]:
    """Everything that is to be asked, in order, by name. Raises InputError if the target cannot be probed."""
    subject = subject_of(target.model, target.inputs, at=request.at, memory=request.memory)
    rows = len(subject.points) * subject.output.numel()
    asked = list(_of_target(target, request, directions=None if rows <= EXACT_ROWS else 2))
    if is_mixer(request.subject):
        for name in dict.fromkeys((*CONTESTANTS, request.subject)):
            asked += _of_mixer(name, request)
    else:
        asked += _of_layers(target, request)
    return asked


def _of_target(target: Target, request: ProbeRequest, *, directions: int | None) -> Iterator[Question]:
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}
    there = {"at": request.at, **common}
    probes: dict[str, Callable[..., Result]] = {
        "influence": partial(token_jacobian, directions=directions, **there),
        "reach": partial(reach, layers=target.layers or None, **common),
        "causality": partial(causality, **there),
        "interaction": partial(interaction, **there),
        "interaction order": partial(interaction_order, limit=request.limit, **there),
        "content dependence": partial(content_dependence, **there),
        "shifts": partial(equivariance, move="shift", **there),
        "permutations": partial(equivariance, move="permutation", **there),
        "positions": partial(position_awareness, **there),
    }
    for name, probe in probes.items():

        def ask(findings: Findings, name: str = name, probe: Callable[..., Result] = probe) -> None:
            if name in target.meaningless:
                findings.not_asked[name] = target.meaningless[name]
                return
            try:
                findings.results[name] = probe(target.model, target.inputs)
            except InputError as error:  # a probe may not fit a model that others do
                findings.not_asked[name] = str(error)

        yield name, ask


def _of_mixer(name: str, request: ProbeRequest) -> Iterator[Question]:
    inputs = drawn_inputs(request).to(request.device)
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}

    def bare(layers: int, nonlinearity: Callable[..., Any]) -> BareStack:
        mixers = [mixer.to(request.device) for mixer in mixers_for(name, layers, request)]
        return BareStack(mixers, nonlinearity, inputs)

    def order(findings: Findings, depth: int) -> None:
        found = findings.orders.setdefault(name, {})
        if not any(o.order == o.limit for o in found.values()):  # it does not fall with more layers
            found[depth] = interaction_order(bare(depth, torch.square), inputs, limit=request.limit, **common)

    def map_after(findings: Findings, layers: int) -> None:
        findings.maps.setdefault(name, {})[layers] = interaction(bare(layers, F.gelu), inputs, **common)

    def content(findings: Findings) -> None:
        (mixer,) = mixers_for(name, 1, request)
        findings.contents[name] = [content_dependence(mixer.to(request.device), inputs, **common)]

    for depth in range(1, (request.depth or DEPTH) + 1):
        yield f"{name}, order at depth {depth}", partial(order, depth=depth)
    for layers in MAPS_AFTER:
        yield f"{name}, interactions after {layers}", partial(map_after, layers=layers)
    yield f"{name}, content", content


def _of_layers(target: Target, request: ProbeRequest) -> Iterator[Question]:
    model, inputs = target.model, target.inputs
    common: dict[str, Any] = {"seed": request.seed, "memory": request.memory}
    if request.at is not None:  # that part alone, as one layer
        stretches: list[dict[str, Any]] = [{"at": request.at}]
    else:
        stretches = [{"until": layer} for layer in target.layers or (None,)]

    def order(findings: Findings, depth: int) -> None:
        found = interaction_order(model, inputs, **stretches[depth - 1], limit=request.limit, **common)
        findings.orders.setdefault(target.name, {})[depth] = found

    def map_after(findings: Findings, layers: int) -> None:
        found = interaction(model, inputs, **stretches[layers - 1], **common)
        findings.maps.setdefault(target.name, {})[layers] = found

    def content(findings: Findings, part: nn.Module, reaching: Tensor, at: str | None) -> None:
        found = content_dependence(part, reaching, at=at, **common)
        findings.contents.setdefault(target.name, []).append(found)

    for depth in range(1, len(stretches) + 1):
        yield f"order after layer {depth}", partial(order, depth=depth)
        if depth in MAPS_AFTER:
            yield f"interactions after layer {depth}", partial(map_after, layers=depth)
    for mixer in target.mixers or (None,):
        yield (
            f"content dependence of {mixer or 'the model'}",
            partial(content, part=model, reaching=inputs, at=mixer),
        )
    for number, (cross, reaching) in enumerate(target.crossings):
        yield (
            f"content dependence of reading {number}",
            partial(content, part=cross, reaching=reaching, at=None),
        )
