"""Whether an output depends on later inputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.derivatives import rounding, strangers, values
from globalconv.probes.memory import MEMORY, Progress
from globalconv.probes.picture import axes_for, powers
from globalconv.probes.subject import subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAFETY = 100.0
"""Differences up to this multiple of the measured rounding count as rounding."""


@dataclass(frozen=True, eq=False)
class Causality:
    """The influence of later tokens on outputs.

    ``leak`` (L-1,): the largest change of any output up to token t when everything after t is replaced, divided
    by the largest change of an output when everything is replaced. ``rounding``, in the same unit: smaller leaks may be
    rounding.
    """

    leak: Tensor
    rounding: float
    draws: int
    notes: tuple[str, ...] = ()

    @property
    def largest(self) -> float:
        """The largest leak; 0 for a sequence of one token."""
        return float(self.leak.max()) if len(self.leak) else 0.0

    @property
    def exact(self) -> bool:
        """Whether no output changed in any bit."""
        return self.largest == 0.0

    @property
    def causal(self) -> bool:
        """Whether all leaks are within rounding."""
        return self.largest <= self.rounding

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        if self.exact:
            return "Causal: the future has no influence at all, to the last digit."
        if self.causal:
            return f"Causal up to rounding: the future changes outputs by {self.largest:.1e} of what all inputs do."
        token = int(self.leak.argmax())
        return (
            f"Not causal: what follows token {token} changes outputs up to it, by {self.largest:.2g} of what all "
            "inputs do."
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The leak at every token, on a logarithmic scale; exact zeros are not drawn."""
        axes = axes_for(ax)
        axes.axhline(self.rounding, linewidth=1, linestyle=":", color="grey")
        positive = self.leak > 0
        tokens = torch.arange(len(self.leak))[positive]
        axes.plot(tokens.numpy(), self.leak[positive].numpy(), "o", markersize=4)
        powers(axes)
        axes.set_xlim(-0.5, max(len(self.leak) - 0.5, 0.5))
        axes.set_xlabel("token")
        axes.set_ylabel("change by what follows")
        return axes


def causality(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    draws: int = 2,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> Causality:
    """The change of the outputs up to each token when everything after it is replaced by other vectors.

    Replacing tokens detects what derivatives miss (a maximum, a threshold), in L - 1 forward passes for each of
    ``draws`` replacements of each example. No leak is only proved for these inputs. Raises InputError for a model
    without an output per token, and like ``subject_of``.
    """
    subject = subject_of(model, inputs, at=at, memory=memory)
    examples, length, _ = subject.points.shape
    if not subject.per_token:
        raise InputError(
            "causality needs an output per token, but this model gives one per sequence. Probe a part of it with at=."
        )
    if draws < 1:
        raise InputError(f"draws must be at least 1, not {draws}.")
    generator = torch.Generator().manual_seed(seed)
    others = strangers(subject.points, examples * draws, generator)
    device = subject.points.device
    with torch.no_grad():
        before = torch.cat([subject.function(x[None]) for x in subject.points])
        replaced = torch.cat([subject.function(other[None]) for other in others])
    scale = float((replaced - before.repeat_interleave(draws, dim=0)).abs().max()) or 1.0

    # One row per example, replacement and last token kept.
    row = torch.arange(examples * draws * length, device=device)
    example, other, last = row // (draws * length), row // length, row % length
    kept = torch.arange(length, device=device) <= last[:, None]

    def points(part: range) -> Tensor:
        some = slice(part.start, part.stop)
        return torch.where(kept[some, :, None], subject.points[example[some]], others[other[some]])

    def largest(part: range, output: Tensor) -> Tensor:
        some = slice(part.start, part.stop)
        change = (output - before[example[some]]).abs().amax(dim=2)
        return torch.where(kept[some], change, 0.0).amax(dim=1)

    found = values(subject, len(row), points, largest, progress=progress)
    leak = found.view(examples * draws, length).amax(dim=0)[:-1] / scale
    noise = rounding(subject, lambda output: output, subject.points, generator)
    return Causality(leak.cpu(), SAFETY * noise / scale, draws, subject.notes)
