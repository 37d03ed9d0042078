"""What the classification tasks share: one class for each sequence."""

from abc import ABC
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalconv.tasks.base import (
    Baseline,
    Batch,
    EvaluationSplit,
    Metric,
    Option,
    Signature,
    Tallies,
    Task,
)
from globalconv.tasks.digest import digest_of
from globalconv.tasks.epochs import epoch_indices
from globalconv.tasks.labelled import first_few
from globalconv.tasks.linear_baseline import affordable_share, linear_answers
from globalconv.tasks.patches import join_positions, patched
from globalconv.tasks.ragged import real_positions
from globalconv.tasks.scoring import (
    answers,
    class_scores,
    confusion,
    cross_entropy,
    scores_of,
    tally_answers,
    tally_classes,
)

MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1"]
METRICS: dict[MetricName, Metric] = {
    "accuracy": Metric("accuracy", higher_is_better=True, margin=0.02, ceiling=1.0),
    "balanced_accuracy": Metric("balanced_accuracy", higher_is_better=True, margin=0.02, ceiling=1.0),
    "macro_f1": Metric("macro_f1", higher_is_better=True, margin=0.02, ceiling=1.0),
}


@dataclass(frozen=True)
class Examples:
    """One split: ``inputs`` (n, length, channels) of any real type, ``classes`` (n,) int64.

    ``lengths`` (n,) int64: the number of real positions, which come first; None: all, in every split. ``groups`` (n,)
    are only used for the digest.
    """

    inputs: NDArray[Any]
    classes: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None

    def take(self, indices: NDArray[np.int64]) -> "Examples":
        """The examples at ``indices``."""
        return Examples(*(None if array is None else array[indices] for array in self._fields()))  # type: ignore[arg-type]

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays that are not None."""
        return [array for array in self._fields() if array is not None]

    def _fields(self) -> tuple[NDArray[Any] | None, ...]:
        return self.inputs, self.classes, self.lengths, self.groups


class Classification(Task, ABC):
    """Real-valued sequences (batch, length, channels), standardised, and one class for each.

    Metric: accuracy, or another of METRICS, with a margin of 0.02; all of METRICS are reported. Subclasses read the
    data and pass its three splits. If the data has lengths, batches have them too, and inputs are 0 after each end.
    """

    raw_values: str = "raw values"
    """The inputs of the linear baseline, as its name gives them."""
    positions: Signature
    """The signature before ``patch`` positions are joined into one token."""

    def __init__(
        self,
        name: str,
        splits: dict[str, Examples],
        *,
        classes: Sequence[str],
        options: dict[str, Option],
        source: str,
        notices: tuple[str, ...] = (),
        metric: MetricName = "accuracy",
        patch: int = 1,
    ) -> None:
        """``splits``: "train", "validation" and "test". Their values are standardised by the mean and the
        standard deviation of each channel over the training examples. ``source`` begins the description.
        ``patch`` is the number of consecutive positions in a token.
        """
        self.name, self.options, self.notices = name, options, notices
        self.classes, self.metric = tuple(classes), METRICS[metric]
        train = splits["train"]
        _, length, channels = train.inputs.shape
        ragged = train.lengths is not None
        self.positions = Signature(
            "classification", False, length, len(self.classes), channels=channels, ragged=ragged
        )
        self._patch, self.signature = patch, patched(self.positions, patch)
        self.digest = digest_of(*(array for examples in splits.values() for array in examples.arrays()))
        sizes = ", ".join(f"{len(examples.classes)} {split}" for split, examples in splits.items())
        self.description = (
            f"{source}: {'up to ' * ragged}{length} tokens of {channels} value{'s' * (channels > 1)}, "
            f"{len(self.classes)} classes; {sizes} examples. {_class_sizes(self.classes, splits)}"
        )
        self._mean, self._scale = _moments(train)
        self._inputs = {split: torch.from_numpy(examples.inputs) for split, examples in splits.items()}
        self._classes = {split: torch.from_numpy(examples.classes) for split, examples in splits.items()}
        self._lengths = {
            split: torch.from_numpy(examples.lengths)
            for split, examples in splits.items()
            if examples.lengths is not None
        }

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
        """Sums and counts of loss and accuracy, and of each class that occurs or is predicted (``tally_classes``)."""
        chosen, targets = answers(logits, batch)
        return tally_answers(logits, batch) | tally_classes(chosen.argmax(-1).tolist(), targets.tolist())

    def metrics(self, tallies: Tallies) -> dict[str, float]:
        """Loss, accuracy, balanced accuracy and macro F1 of a whole split."""
        plain: Tallies = {name: tallies[name] for name in ("loss", "accuracy") if name in tallies}
        return super().metrics(plain) | class_scores(tallies)

    def confusion(self, examples: Sequence[Tallies]) -> list[list[int]]:
        """[t][a]: the number of ``examples``, tallied one by one, of class t that were predicted as a."""
        return confusion(examples, len(self.classes))

    def baselines(self) -> list[Baseline]:
        classes = self._classes["train"].numpy()
        test = self._batch("test", torch.arange(len(self._classes["test"])))
        most_common = np.full(len(test.targets), np.bincount(classes).argmax())
        features = self.signature.length * (self.signature.channels or 1)
        chosen = affordable_share(classes, features)
        name = f"linear model on the {self.raw_values}{' and lengths' * self.signature.ragged}"
        if len(chosen) < len(classes):
            name += f" ({len(chosen)} of {len(classes)} training examples)"
        linear = linear_answers(
            self._batch("train", torch.from_numpy(chosen)), test, balanced=self.metric.name != "accuracy"
        )
        baselines = [
            self._baseline("majority class", most_common, test, guess=True),
            self._baseline(name, linear, test, guess=False),
        ]
        return sorted(baselines, key=lambda baseline: baseline.value)

    def _baseline(self, name: str, answered: NDArray[np.int64], test: Batch, *, guess: bool) -> Baseline:
        scores = scores_of(answered, test.targets.numpy())
        return Baseline(name, scores.pop(self.metric.name), guess, scores)

    def _batch(self, split: str, indices: Tensor) -> Batch:
        lengths = self._lengths[split][indices] if split in self._lengths else None
        inputs, lengths = self.prepare(self._inputs[split][indices], lengths)
        return Batch(inputs, self._classes[split][indices], lengths=lengths)

    def prepare(self, values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The model's inputs: ``values`` standardised, set to 0 after their ends, and joined into patches.

        ``values`` (batch, length, channels), of any real type, and ``lengths`` (batch,) int64 count ``positions``. The
        returned inputs are float32, and the returned lengths count tokens of ``signature``.
        """
        # The data keeps its type (uint8 pixels take an eighth of the memory) and is standardised here in
        # float64: in float32 a large offset would cost the digits of what varies. Dividing by 4 is exact and keeps
        # the difference of two numbers near float64's largest finite.
        inputs = (values / 4 - self._mean / 4) / (self._scale / 4)
        if lengths is not None:
            real = torch.arange(inputs.shape[1]) < lengths[:, None]
            inputs = torch.where(real[:, :, None], inputs, 0.0)
            lengths = -(-lengths // self._patch)
        return join_positions(inputs.float(), self._patch), lengths


def _class_sizes(classes: Sequence[str], splits: dict[str, Examples]) -> str:
    """ "Examples of each class: 'a' 900, 'b' 100.", the most common first."""
    sizes = np.bincount(
        np.concatenate([examples.classes for examples in splits.values()]), minlength=len(classes)
    )
    order = np.argsort(-sizes, kind="stable")
    shown = first_few(f"'{classes[c]}' {sizes[c]}" for c in order)
    return f"Examples of each class: {shown}."


def _moments(examples: Examples) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (channels,) float64 over the real positions; 1 for a constant channel.

    Values are first divided by a power of two near the largest, which is exact: so no square overflows or underflows
    float64.
    """
    inputs, lengths = examples.inputs, examples.lengths
    chunks = np.array_split(np.arange(len(inputs)), -(-len(inputs) // 4096))

    def real(rows: NDArray[np.int64]) -> NDArray[Any]:
        if lengths is None:
            return inputs[rows].reshape(-1, inputs.shape[2])
        return inputs[rows][real_positions(lengths[rows], inputs.shape[1])]

    largest = np.max([np.abs(real(rows).astype(np.float64)).max(axis=0) for rows in chunks], axis=0)
    unit = np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)
    count = inputs.shape[0] * inputs.shape[1] if lengths is None else lengths.sum()
    mean = sum((real(rows) / unit).sum(axis=0) for rows in chunks) / count
    variance = sum(np.square(real(rows) / unit - mean).sum(axis=0) for rows in chunks) / count
    scale = np.where(variance > 0, np.sqrt(variance) * unit, 1.0)
    return torch.from_numpy(mean * unit), torch.from_numpy(scale)
