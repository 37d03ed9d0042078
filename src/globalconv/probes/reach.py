"""The receptive field of each layer, and of all layers up to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.jacobian import TokenJacobian, token_jacobian
from globalconv.probes.memory import MEMORY, Progress
from globalconv.probes.picture import axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Span:
    """The receptive field of outputs: ``back`` and ``ahead`` are the largest distances with any influence; ``typical``
    is the mean distance, weighted by squared strength (on a line, not around a circle).
    """

    back: int
    ahead: int
    typical: float


@dataclass(frozen=True)
class LayerReach:
    """The receptive field of one layer by itself, and from the model's input to its output."""

    name: str
    own: Span
    so_far: Span


@dataclass(frozen=True, eq=False)
class Reach:
    """The receptive field, layer by layer."""

    layers: tuple[LayerReach, ...]
    length: int
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        span = self.layers[-1].so_far
        whole = next(
            (n for n, layer in enumerate(self.layers, 1) if max(_ends(layer.so_far)) >= self.length - 1), None
        )
        words = f"An output looks up to {span.back} tokens back and {span.ahead} ahead, of {self.length}"
        if whole is not None:
            words += f"; as far as can be from layer {whole} of {len(self.layers)} on"
        return f"{words}."

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The receptive fields from the input (filled) and of each layer by itself (hollow)."""
        axes = axes_for(ax)
        depth = range(1, len(self.layers) + 1)
        for spans, fill in (
            ([x.so_far for x in self.layers], "full"),
            ([x.own for x in self.layers], "none"),
        ):
            for sign, ends in ((-1, [x.back for x in spans]), (1, [x.ahead for x in spans])):
                axes.plot(depth, [sign * end for end in ends], "o-", fillstyle=fill, color="C0", linewidth=1)
        axes.axhline(0, color="grey", linewidth=0.7)
        axes.set_xlabel("layer")
        axes.set_ylabel("tokens back (below) and ahead")
        return axes


def reach(
    model: nn.Module,
    inputs: Tensor,
    *,
    layers: Sequence[str] | None = None,
    directions: int = 1,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> Reach:
    """The receptive field of every layer by itself and of all layers up to it.

    ``layers`` names the submodules, in order ("blocks.0", "blocks.1"); None uses those of the model's longest
    nn.ModuleList or nn.Sequential, or the model as one layer if it has none. ``directions`` as in ``token_jacobian``:
    with one direction, the presence of an influence is exact and the typical distance is an estimate. Raises
    InputError like ``subject_of``, and if a layer has no output per token.
    """
    names = list(find_layers(model) if layers is None else layers)
    found = []
    notes: tuple[str, ...] = ()
    for number, name in enumerate(names or [""]):
        options = {"directions": directions, "seed": seed, "memory": memory}
        own = token_jacobian(model, inputs, at=name or None, **options)  # type: ignore[arg-type]
        so_far = token_jacobian(model, inputs, until=name, **options) if name else own  # type: ignore[arg-type]
        found.append(LayerReach(name or "the model", span_of(own), span_of(so_far)))
        notes = own.notes
        if progress is not None:
            progress(number + 1, len(names))
    return Reach(tuple(found), so_far.strength.shape[1], notes)


def span_of(jacobian: TokenJacobian) -> Span:
    """The receptive field of a ``jacobian``. Raises InputError unless it has an output for every input token."""
    outputs, length = jacobian.strength.shape
    if outputs != length:
        raise InputError(
            "reach needs an output per token, but this model gives one per sequence. Name its layers with layers=."
        )
    lag = torch.arange(length)[:, None] - torch.arange(length)
    there = lag[jacobian.support] if bool(jacobian.strength.any()) else torch.zeros(1, dtype=torch.long)
    weight = jacobian.strength.square()
    typical = float((weight * lag.abs()).sum() / weight.sum()) if float(weight.sum()) else 0.0
    return Span(max(0, int(there.max())), max(0, -int(there.min())), typical)


def find_layers(model: nn.Module) -> list[str]:
    """Names of the layers: the members of the longest nn.ModuleList or nn.Sequential (the first if several)."""
    longest: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > max(1, len(longest)):
            longest = [f"{name}.{number}" if name else str(number) for number in range(len(module))]
    return longest


def _ends(span: Span) -> tuple[int, int]:
    return span.back, span.ahead
