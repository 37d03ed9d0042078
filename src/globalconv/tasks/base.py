"""What a task is: data in three splits, a loss, a metric and a baseline. Tasks know no model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

EvaluationSplit = Literal["validation", "test"]
LONGEST_GENERATED = 2**14
"""The longest sequence of a generated task: its held-out sequences are kept in memory."""
Option = str | int | float | bool | None
"""An argument of a task's constructor, which JSON can hold."""


@dataclass(frozen=True)
class Batch:
    """One batch. ``mask`` marks the positions that count in the loss; None: all of them.

    Shapes: ``inputs`` (batch, length) int64 tokens, or (batch, length, channels) float32 values;
    ``targets`` (batch,) int64 classes, or (batch, length) int64 tokens; ``mask`` (batch, length) bool.

    In sequence to sequence, ``inputs`` are the target's tokens shifted by one step, and ``source`` (batch, source
    length) int64 is the source. ``source_lengths`` (batch,) int64 is the number of real tokens in each source, which
    come first; None: all. ``lengths`` (batch,) int64 is the same for the ``inputs`` of a classification.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    source: Tensor | None = None
    source_lengths: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        """The arguments of the model's forward."""
        if self.source is not None:
            return (self.source, self.inputs, self.source_lengths)
        return (self.inputs,) if self.lengths is None else (self.inputs, self.lengths)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on ``device``."""
        return self._changed(lambda part: part.to(device))

    def rows(self, which: slice | Tensor) -> "Batch":
        """The rows that a slice or an index tensor selects."""
        return self._changed(lambda part: part[which])

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = (self.mask, self.source, self.source_lengths, self.lengths)
        optional = (None if part is None else change(part) for part in parts)
        return Batch(change(self.inputs), change(self.targets), *optional)


@dataclass(frozen=True)
class Signature:
    """What a model needs to know of a task.

    Exactly one of ``vocabulary`` (tokens in) and ``channels`` (real values in) is set.
    ``num_outputs`` is the number of classes, or the vocabulary of the next token. In sequence to sequence,
    ``length`` is the longest source or target, ``vocabulary`` is shared by both, and ``causal`` means that the
    target's future is hidden. ``ragged``: rows may be shorter than ``length``, and come with their lengths.
    """

    kind: Literal["classification", "next_token", "sequence_to_sequence"]
    causal: bool
    length: int
    num_outputs: int
    vocabulary: int | None = None
    channels: int | None = None
    ragged: bool = False


@dataclass(frozen=True)
class Metric:
    """The number that decides a task. ``margin``: the equivalence margin."""

    name: str
    higher_is_better: bool
    margin: float
    ceiling: float | None = None
    """The best possible value, if there is one (1 for an accuracy)."""


@dataclass(frozen=True)
class Baseline:
    """A score that needs no neural network, in the task's own metric, on the test split."""

    name: str
    value: float
    guess: bool = False
    """It knows only which answers are possible or common: a network that scores no better has learned
    nothing."""
    extra_metrics: dict[str, float] = field(default_factory=dict)
    """Scores in further metrics, by name."""


Tallies = dict[str, tuple[float, float]]
"""Metric name -> (sum, count). Tallies of batches add up; sum / count is the metric."""


class Task(ABC):
    """Data, loss, metric and baseline. Constructor arguments are plain values, so that a run's
    specification can hold them as JSON and any process can rebuild the same task.

    A task holds fixed train, validation and test splits, which do not depend on a run's seed.
    """

    kind: ClassVar[str]
    """The task's key in ``globalconv.tasks.TASKS``."""
    options: dict[str, Option]
    """All constructor arguments: ``build_task(kind, options)`` builds an equal task."""
    name: str
    """Its name in the report: the kind, or the name of the user's file."""
    signature: Signature
    metric: Metric
    digest: str
    """Hash of the data, or of the options that generate it: tasks with equal digests hold the same examples."""
    description: str
    """One sentence for the report: what the data is, where it came from and how much there is."""
    notices: tuple[str, ...] = ()
    """Notices about oddities in the data: classes of one example, constant columns."""
    classes: tuple[str, ...] = ()
    """The names of a classification's classes, in the order of the outputs."""

    @abstractmethod
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        """The batch of training step ``step``: a pure function, so that a resumed run sees the same batches."""

    @abstractmethod
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        """All of a held-out split, always in the same order."""

    def num_examples(self, split: EvaluationSplit) -> int:
        """The number of rows in all evaluation batches of a held-out split."""
        return sum(len(batch.targets) for batch in self.evaluation_batches(split, batch_size=4096))

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean training loss, a scalar, in nats. Logits: (batch, classes) or (batch, length, vocabulary).

        ``label_smoothing``: the share of the target's probability that is spread evenly over all outputs.
        """

    @abstractmethod
    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        """Sums and counts of every metric over one batch, including ``self.metric.name`` and ``loss``."""

    def metrics(self, tallies: Tallies) -> dict[str, float]:
        """The metrics of a split, from the sum of the tallies of all its batches."""
        return {name: total / count for name, (total, count) in tallies.items() if count}

    def readable(self, inputs: Tensor) -> str | None:
        """One example's inputs, (length,) or (length, channels), as text; None if they have no readable form."""
        del inputs
        return None

    @abstractmethod
    def baselines(self) -> list[Baseline]:
        """Scores without a neural network, fitted on train and scored on test; the best comes last."""
