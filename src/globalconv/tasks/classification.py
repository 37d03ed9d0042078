"""What the classification tasks share: whole sequences in, one class out."""

from abc import ABC
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalconv.tasks.base import (
    Batch,
    EvaluationSplit,
    Floor,
    Metric,
    Option,
    Signature,
    Tallies,
    Task,
)
from globalconv.tasks.digest import digest_of
from globalconv.tasks.epochs import epoch_indices
from globalconv.tasks.linear import affordable_share, linear_accuracy
from globalconv.tasks.scoring import cross_entropy, tally_answers


@dataclass(frozen=True)
class Examples:
    """One split: ``inputs`` (n, length, channels) of any real type, ``classes`` (n,) int64."""

    inputs: NDArray[Any]
    classes: NDArray[np.int64]

    def take(self, indices: NDArray[np.int64]) -> "Examples":
        """The examples at ``indices``."""
        return Examples(self.inputs[indices], self.classes[indices])


class Classification(Task, ABC):
    """Real-valued sequences (batch, length, channels), standardised, and one class for each.

    Metric: accuracy, with a margin of 0.02. Subclasses read the data and hand over its three splits.
    """

    metric = Metric("accuracy", higher_is_better=True, margin=0.02, ceiling=1.0)
    raw_values: str = "raw values"
    """What the linear floor reads, in its name."""

    def __init__(
        self,
        name: str,
        splits: dict[str, Examples],
        *,
        num_classes: int,
        options: dict[str, Option],
        source: str,
        notices: tuple[str, ...] = (),
    ) -> None:
        """``splits``: "train", "validation" and "test". Their values are standardised by the mean and the
        standard deviation of each channel over the training examples. ``source``: begins the description.
        """
        self.name, self.options, self.notices = name, options, notices
        train = splits["train"]
        _, length, channels = train.inputs.shape
        self.signature = Signature("classification", False, length, num_classes, channels=channels)
        self.digest = digest_of(*(array for s in splits.values() for array in (s.inputs, s.classes)))
        sizes = ", ".join(f"{len(examples.classes)} {split}" for split, examples in splits.items())
        self.description = (
            f"{source}: {length} tokens of {channels} value{'s' * (channels > 1)}, {num_classes} classes; "
            f"{sizes} examples."
        )
        self._mean, self._scale = _moments(train.inputs)
        self._inputs = {split: torch.from_numpy(examples.inputs) for split, examples in splits.items()}
        self._classes = {split: torch.from_numpy(examples.classes) for split, examples in splits.items()}

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        num_examples = len(self._classes["train"])
        indices = epoch_indices(step, num_examples=num_examples, seed=seed, batch_size=batch_size)
        return self._batch("train", indices)

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        for indices in torch.split(torch.arange(len(self._classes[split])), batch_size):
            yield self._batch(split, indices)

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return cross_entropy(logits, batch, label_smoothing=label_smoothing)

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return tally_answers(logits, batch)

    def floors(self) -> list[Floor]:
        classes = self._classes["train"].numpy()
        test = self._batch("test", torch.arange(len(self._classes["test"])))
        always = float(np.mean(test.targets.numpy() == np.bincount(classes).argmax()))
        features = self.signature.length * (self.signature.channels or 1)
        chosen = affordable_share(classes, features)
        name = f"linear model on the {self.raw_values}"
        if len(chosen) < len(classes):
            name += f" ({len(chosen)} of {len(classes)} training examples)"
        linear = linear_accuracy(self._batch("train", torch.from_numpy(chosen)), test)
        floors = [Floor("majority class", always, guess=True), Floor(name, linear)]
        return sorted(floors, key=lambda floor: floor.value)

    def _batch(self, split: str, indices: Tensor) -> Batch:
        # The data stays as it came (uint8 pixels are an eighth of the memory) and is standardised here,
        # in float64: a large offset would otherwise eat the digits of what varies.
        # Quarters, which are exact, so that the difference of two numbers near float64's largest is finite.
        inputs = (self._inputs[split][indices] / 4 - self._mean / 4) / (self._scale / 4)
        return Batch(inputs.float(), self._classes[split][indices])


def _moments(inputs: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (channels,) float64 of (n, length, channels); 1 where nothing varies.

    They are taken in a unit near the largest number, a power of two, which costs no digit: so no square is too large or
    too small for float64.
    """
    parts = np.array_split(inputs, -(-len(inputs) // 4096))
    largest = np.max([np.abs(part.astype(np.float64)).max(axis=(0, 1)) for part in parts], axis=0)
    unit = np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)
    count = inputs.shape[0] * inputs.shape[1]
    mean = sum((part / unit).sum(axis=(0, 1)) for part in parts) / count
    variance = sum(np.square(part / unit - mean).sum(axis=(0, 1)) for part in parts) / count
    scale = np.where(variance > 0, np.sqrt(variance) * unit, 1.0)
    return torch.from_numpy(mean * unit), torch.from_numpy(scale)
