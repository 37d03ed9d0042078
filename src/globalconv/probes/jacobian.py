"""Which input tokens move which output tokens, and how strongly."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.derivatives import pull_back
from globalconv.probes.memory import GRADIENT, MEMORY, Progress, chunks
from globalconv.probes.picture import axes_for, draw_map
from globalconv.probes.subject import Subject, subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEGLIGIBLE = 1e-10
"""For float64, where rounding is about 1e-15 of the largest strength."""


@dataclass(frozen=True, eq=False)
class TokenJacobian:
    """How strongly each output token depends on each input token.

    ``strength`` (L_out, L): [t, s] is the Frobenius norm of d y[t] / d x[s] over channels, root mean square over
    the examples. ``directions`` of E directions of the output channels were followed; with all of them it is exact.
    """

    strength: Tensor
    directions: int
    channels: int
    negligible: float = NEGLIGIBLE
    """Relative to the largest strength. Smaller strengths may be rounding."""
    notes: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every output channel was followed."""
        return self.directions == self.channels

    @property
    def relative_error(self) -> float:
        """Bound on the relative standard error of a strength; 0 if exact.

        K orthonormal directions of E capture a share Beta(K/2, (E-K)/2) of a rank-one matrix; other ranks vary
        less. It is halved because a strength is a square root.
        """
        missed = self.channels - self.directions
        return 0.5 * (2 * missed / (self.directions * (self.channels + 2))) ** 0.5

    @property
    def support(self) -> Tensor:
        """Where there is an influence, (L_out, L) bool: more than may be rounding."""
        return self.strength > self.negligible * self.strength.max()

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        share = float(self.support.double().mean())
        sure = (
            "exact"
            if self.exact
            else f"strengths to {self.relative_error:.0%}, from {self.directions} directions"
        )
        return f"{share:.0%} of all pairs of an input and an output token are connected ({sure})."

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The strengths as a map."""
        axes = axes_for(ax)
        draw_map(axes, self.strength, x="input token", y="output token")
        return axes


def token_jacobian(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    until: str | None = None,
    directions: int | None = None,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> TokenJacobian:
    """The influence of every input token on every output token, at ``inputs``.

    It takes one backward pass for each example, output token and direction. ``directions=None`` follows all E output
    channels and is exact. A number K follows K random orthonormal directions instead, E / K times as fast: strengths
    are then estimates (unbiased in their squares), and zeros are exact.
    ``inputs``, ``at``, ``until`` and ``memory`` (bytes): see ``subject_of``. Raises InputError like it.
    """
    return jacobian_of(
        subject_of(model, inputs, at=at, until=until, memory=memory),
        directions=directions,
        seed=seed,
        progress=progress,
    )


def jacobian_of(
    subject: Subject, *, directions: int | None = None, seed: int = 0, progress: Progress | None = None
) -> TokenJacobian:
    """``token_jacobian`` of an existing subject."""
    length, channels = subject.output
    followed = channels if directions is None else min(directions, channels)
    if followed < 1:
        raise InputError(f"directions must be at least 1, not {directions}.")
    device = subject.points.device
    if followed == channels:
        frame = torch.eye(channels, dtype=torch.float64)
    else:
        drawn = torch.randn(
            channels, followed, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        frame = torch.linalg.qr(drawn)[0].T * (channels / followed) ** 0.5
    frame = frame.to(device)

    examples = len(subject.points)
    squares = torch.zeros(length, subject.points.shape[1], dtype=torch.float64, device=device)
    rows = examples * length * followed
    for part in chunks(
        rows, row_bytes=subject.row_bytes, memory=subject.memory, needs=GRADIENT, progress=progress
    ):
        row = torch.arange(part.start, part.stop, device=device)
        example, token, direction = row // (length * followed), row // followed % length, row % followed
        cotangents = torch.zeros(len(row), length, channels, dtype=torch.float64, device=device)
        cotangents[torch.arange(len(row), device=device), token] = frame[direction]
        gradients = pull_back(subject, subject.points[example], cotangents)
        squares.index_add_(0, token, gradients.square().sum(dim=2))
    negligible = NEGLIGIBLE * subject.digit / torch.finfo(torch.float64).eps
    return TokenJacobian(
        (squares / examples).sqrt().cpu(), followed, channels, min(negligible, 0.1), subject.notes
    )
