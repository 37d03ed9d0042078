"""Whether the mixing depends on the content: how much the Jacobian varies from input to input."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.derivatives import normal, pull_back
from globalconv.probes.memory import GRADIENT, MEMORY, Progress, chunks
from globalconv.probes.picture import axes_for
from globalconv.probes.subject import subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEGLIGIBLE = 1e-16
"""A ratio of squares: 1e-8 of the Jacobian itself. Smaller shares may be rounding."""


@dataclass(frozen=True, eq=False)
class ContentDependence:
    """The variance of the Jacobian over inputs, divided by its mean square: 0 for a linear map, at most 1.

    ``uncertainty``: standard error of ``share`` over inputs (jackknife; NaN for two). ``per_token`` (L,): the share
    of each input token's Jacobian.
    """

    share: float
    uncertainty: float
    per_token: Tensor
    examples: int
    directions: int
    negligible: float = NEGLIGIBLE
    """Smaller shares may be rounding."""
    notes: tuple[str, ...] = ()

    @property
    def depends(self) -> bool:
        """Whether the Jacobian varies by more than rounding."""
        return self.share > self.negligible

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        if not self.depends:
            return f"Content-independent: the Jacobian is the same for all {self.examples} inputs, up to rounding."
        error = "" if math.isnan(self.uncertainty) else f" +- {self.uncertainty:.1g}"
        return (
            f"Content-dependent: {self.share:.2g}{error} of the Jacobian's mean square is "
            f"variance over {self.examples} inputs."
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The share of each input token's Jacobian."""
        axes = axes_for(ax)
        axes.bar(range(len(self.per_token)), self.per_token.numpy())
        axes.set_ylim(0, 1)
        axes.set_xlabel("input token")
        axes.set_ylabel("variance / mean square")
        return axes


def content_dependence(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    directions: int = 32,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> ContentDependence:
    """How much d y / d x differs between the examples of ``inputs``, of which there must be at least two.

    It follows ``directions`` random combinations of all outputs, the same for all examples: squares are unbiased
    estimates, and zeros are exact. The Jacobian of a whole block also varies with its pointwise nonlinearities; to
    measure whether the *mixing* depends on the content, probe the mixing layer alone, with ``at``. Raises InputError
    like ``subject_of``.
    """
    if len(inputs) < 2:
        raise InputError(f"content dependence compares inputs: give 2 or more, not {len(inputs)}.")
    if directions < 1:
        raise InputError(f"directions must be at least 1, not {directions}.")
    subject = subject_of(model, inputs, at=at, memory=memory)
    examples, device = len(subject.points), subject.points.device
    generator = torch.Generator().manual_seed(seed)
    # Sums over directions of the squares of each example's gradient and of its products with the others.
    squares = torch.zeros(examples, subject.points.shape[1], dtype=torch.float64, device=device)
    deviations = torch.zeros_like(squares)
    for direction in range(directions):
        cotangent = normal((1, *subject.output), generator, device)
        gradients = []
        for part in chunks(examples, row_bytes=subject.row_bytes, memory=subject.memory, needs=GRADIENT):
            points = subject.points[part.start : part.stop]
            gradients.append(pull_back(subject, points, cotangent.expand(len(points), -1, -1)))
        gradient = torch.cat(gradients)
        squares += gradient.square().sum(dim=2)
        deviations += (gradient - gradient.mean(dim=0)).square().sum(dim=2)
        if progress is not None:
            progress(direction + 1, directions)
    variance = deviations.sum(dim=0) / (examples - 1)
    mean_square = squares.mean(dim=0)
    share = float(variance.sum() / mean_square.sum()) if float(mean_square.sum()) else 0.0
    per_token = torch.where(mean_square > 0, variance / mean_square, 0.0).clamp(max=1)
    return ContentDependence(
        min(share, 1.0),
        _jackknife(deviations.sum(dim=1), squares.sum(dim=1)),
        per_token.cpu(),
        examples,
        directions,
        max(NEGLIGIBLE, (100 * subject.digit) ** 2),
        subject.notes,
    )


def _jackknife(deviations: Tensor, squares: Tensor) -> float:
    """Standard error of sum(deviations) / (n - 1) over mean(squares), leaving out each of the n examples.

    Without example i, the squared deviations from the others' mean sum to d_i n / (n - 1) less.
    """
    n = len(squares)
    if n < 3 or not float(squares.sum()):
        return math.nan if n < 3 else 0.0
    without = (deviations.sum() - deviations * n / (n - 1)) / (n - 2)
    shares = without / ((squares.sum() - squares) / (n - 1))
    return float(((n - 1) / n * (shares - shares.mean()).square().sum()).sqrt())
