"""Whether a model knows positions: can a linear read-out find the position of a marker?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.probes.derivatives import normal, strangers, values
from globalconv.probes.memory import MEMORY, Progress
from globalconv.probes.picture import axes_for
from globalconv.probes.subject import subject_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKER = 4.0
"""The marker's norm, relative to a background vector's."""
NINETY_NINE = 2.576
"""Standard errors on either side of a 99 % interval."""


@dataclass(frozen=True, eq=False)
class PositionAwareness:
    """The accuracy of a linear read-out of the mean output that predicts the marker's position, on held-out sequences.

    ``low`` and ``high``: the 99 % interval (Wilson) of ``accuracy``. ``chance``: the accuracy of guessing.
    ``confusion`` (places, places): counts of [true, predicted].
    """

    accuracy: float
    low: float
    high: float
    places: Tensor
    confusion: Tensor
    tried: int
    notes: tuple[str, ...] = ()

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return 1 / len(self.places)

    @property
    def aware(self) -> bool:
        """Whether the whole interval is above guessing."""
        return self.low > self.chance

    @property
    def line(self) -> str:
        """The finding, in one or two sentences."""
        found = f"{self.accuracy:.2f} ({self.low:.2f} to {self.high:.2f}), guessing {self.chance:.2f}"
        if self.aware:
            return f"Knows positions: a linear read-out of the mean finds a marker's place, {found}."
        return f"No sign of positions: a linear read-out of the mean cannot find a marker's place, {found}."

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The confusion matrix of the positions."""
        axes = axes_for(ax)
        axes.imshow(
            self.confusion.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        axes.set_xlabel("place named")
        axes.set_ylabel("place of the marker")
        return axes


def position_awareness(
    model: nn.Module,
    inputs: Tensor,
    *,
    at: str | None = None,
    places: int = 8,
    fitted: int = 48,
    tried: int = 24,
    seed: int = 0,
    memory: float = MEMORY,
    progress: Progress | None = None,
) -> PositionAwareness:
    """Put a marker at one of ``places`` positions into random backgrounds, and predict its position from the outputs.

    Backgrounds resemble ``inputs`` token by token; the marker is one fixed vector, four times as large. The read-out
    sees only the mean over tokens, because separate outputs would give the position away without the model's help.
    It is a ridge regression, fitted on ``fitted`` backgrounds per position and tested on ``tried`` others. A model
    that commutes with shifts cannot beat guessing, whatever its weights; one that beats guessing knows positions. The
    converse is not proved: the knowledge may be nonlinear. Raises InputError like ``subject_of``.
    """
    subject = subject_of(model, inputs, at=at, memory=memory)
    length, width = subject.points.shape[1:]
    number = min(places, length)
    if number < 2 or fitted < 2 or tried < 1:
        raise InputError(f"places={number}, fitted={fitted} and tried={tried}: give at least 2, 2 and 1.")
    device = subject.points.device
    generator = torch.Generator().manual_seed(seed)
    where = torch.linspace(0, length - 1, number).round().long().to(device)
    size = float(subject.points.square().mean().sqrt()) or 1.0
    marker = MARKER * size * normal((width,), generator, device)
    rows = number * (fitted + tried)
    label = torch.arange(rows, device=device) % number

    def points(part: range) -> Tensor:
        # One row at a time, so that random numbers do not depend on the chunk size.
        background = torch.cat([strangers(subject.points, 1, generator) for _ in part])
        background[torch.arange(len(part), device=device), where[label[part.start : part.stop]]] = marker
        return background

    features = values(subject, rows, points, lambda _, output: output.mean(dim=1), progress=progress).cpu()
    label = label.cpu()
    split = number * fitted
    named = _read_out(features[:split], label[:split], features[split:], number)
    confusion = torch.zeros(number, number, dtype=torch.float64)
    confusion.index_put_(
        (label[split:], named), torch.tensor(1 / tried, dtype=torch.float64), accumulate=True
    )
    accuracy = float(confusion.diagonal().mean())
    low, high = _wilson(accuracy, number * tried)
    return PositionAwareness(accuracy, low, high, where.cpu(), confusion, tried, subject.notes)


def _read_out(features: Tensor, label: Tensor, others: Tensor, number: int) -> Tensor:
    """The positions that a ridge regression on ``features`` predicts for ``others``."""
    mean, spread = features.mean(dim=0), features.std(dim=0)
    spread = torch.where(
        spread > 1e-9 * spread.max(), spread, torch.inf
    )  # constant features carry no information
    known, asked = (features - mean) / spread, (others - mean) / spread
    targets = torch.nn.functional.one_hot(label, number).double() - 1 / number
    # In the smaller of the two spaces: there may be more channels (a vocabulary) than sequences.
    ridge = 1e-2 * len(known)
    if known.shape[1] > len(known):
        gram = known @ known.T + ridge * torch.eye(len(known), dtype=torch.float64)
        scores = asked @ (known.T @ torch.linalg.solve(gram, targets))
    else:
        gram = known.T @ known + ridge * torch.eye(known.shape[1], dtype=torch.float64)
        scores = asked @ torch.linalg.solve(gram, known.T @ targets)
    return scores.argmax(dim=1)


def _wilson(share: float, n: int) -> tuple[float, float]:
    """The 99 % interval of a share of n trials (Wilson 1927)."""
    z = NINETY_NINE
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
