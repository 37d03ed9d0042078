"""Whether moving the tokens moves the outputs in the same way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.probes.causality import SAFETY
from globalconv.probes.derivatives import rounding, values
from globalconv.probes.memory import MEMORY, Progress
from globalconv.probes.picture import axes_for, powers
from globalconv.probes.subject import subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Move = Literal["shift", "permutation"]


@dataclass(frozen=True, eq=False)
class Equivariance:
    """How far f(moved x) is from moved f(x).

    ``errors``: for every move, the root mean square of the difference, divided by the standard deviation of the
    outputs. ``invariant``: the model gives one output per sequence, which a move must not change.
    """

    move: Move
    errors: Tensor
    rounding: float
    invariant: bool
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """The largest error."""
        return float(self.errors.max())

    @property
    def equivariant(self) -> bool:
        """Whether all errors are within rounding."""
        return self.error <= self.rounding

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        moves = {"shift": "circular shifts", "permutation": "permutations"}[self.move]
        law = "invariant under" if self.invariant else "equivariant to"
        if self.equivariant:
            return f"{law.capitalize()} {moves} of the tokens, up to rounding ({len(self.errors)} tried)."
        return (
            f"Not {law} {moves} of the tokens: an output differs by {self.error:.2g} of the outputs' spread."
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The error of every move."""
        axes = axes_for(ax)
        axes.axhline(self.rounding, linewidth=1, linestyle=":", color="grey")
        axes.plot(range(1, len(self.errors) + 1), self.errors.clamp(min=1e-17).numpy(), "o", markersize=4)
        powers(axes)
        axes.set_xlabel(f"{self.move} tried")
        axes.set_ylabel("error")
        return axes


def equivariance(
    model: nn.Module,
    inputs: Tensor,
    move: Move,
    *,
    at: str | None = None,
    draws: int = 8,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> Equivariance:
    """Compare f(moved x) with moved f(x), for ``draws`` random moves of the tokens' vectors.

    "shift" shifts the sequence circularly, by 1 and by other amounts; "permutation" permutes it. Positions that a model
    adds itself are not moved with the tokens. Raises InputError like ``subject_of``.
    """
    if move not in get_args(Move):
        raise unknown_name("move", move, get_args(Move))
    subject = subject_of(model, inputs, at=at, memory=memory)
    examples, length, _ = subject.points.shape
    if length < 2 or draws < 1:
        raise InputError(
            f"length {length} and draws {draws}: give a length of at least 2 and at least 1 draw."
        )
    generator = torch.Generator().manual_seed(seed)
    if move == "shift":
        amounts = [1, *(1 + torch.randperm(length - 1, generator=generator)).tolist()]
        orders = [torch.arange(length).roll(amount) for amount in dict.fromkeys(amounts)][:draws]
    else:
        orders = [torch.randperm(length, generator=generator) for _ in range(draws)]
    order = torch.stack(orders).to(subject.points.device)
    with torch.no_grad():
        still = torch.cat([subject.function(x[None]) for x in subject.points])

    tried = len(order)
    mean = still.mean(dim=(0, 1) if subject.per_token else 2, keepdim=True)
    spread = float((still - mean).square().mean().sqrt()) or float(still.square().mean().sqrt()) or 1.0

    def moved(part: range) -> Tensor:
        return torch.stack([subject.points[row // tried][order[row % tried]] for row in part])

    def difference(part: range, output: Tensor) -> Tensor:
        expected = torch.stack(
            [
                still[row // tried][order[row % tried]] if subject.per_token else still[row // tried]
                for row in part
            ]
        )
        return (output - expected).square().mean(dim=(1, 2))

    found = values(subject, examples * tried, moved, difference, progress=progress)
    errors = found.view(examples, tried).mean(dim=0).sqrt() / spread
    noise = rounding(subject, lambda output: output, subject.points, generator)
    return Equivariance(
        move, errors.cpu(), SAFETY * noise / spread, invariant=not subject.per_token, notes=subject.notes
    )
