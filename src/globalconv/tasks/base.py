"""What a task is: data in three splits, a loss, a metric and a baseline. No model is known here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

EvaluationSplit = Literal["validation", "test"]
LONGEST_GENERATED = 2**14
"""Tokens of a sequence that a generated task draws: its held-out sequences are kept in memory."""
Option = str | int | float | bool | None
"""What a task's constructor takes: values that JSON holds as they are."""


@dataclass(frozen=True)
class Batch:
    """One batch. ``mask`` says at which positions the loss counts; None means at all of them.

    Shapes: ``inputs`` (batch, length) int64 tokens, or (batch, length, channels) float32 values;
    ``targets`` (batch,) int64 classes, or (batch, length) int64 tokens; ``mask`` (batch, length) bool.

    Of sequence to sequence, ``inputs`` are the target's tokens one step late, ``source`` (batch, source length)
    int64 is what they answer, and ``source_lengths`` (batch,) int64 says how many of its tokens, the first
    ones, are real; None: all of them. ``lengths`` (batch,) int64 says the same of ``inputs`` to be classified.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    source: Tensor | None = None
    source_lengths: Tensor | None = None
    lengths: Tensor | None = None

    @property
    def arguments(self) -> tuple[Tensor | None, ...]:
        """What the model is called with."""
        if self.source is not None:
            return (self.source, self.inputs, self.source_lengths)
        return (self.inputs,) if self.lengths is None else (self.inputs, self.lengths)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on ``device``."""
        return self._changed(lambda part: part.to(device))

    def rows(self, which: slice | Tensor) -> "Batch":
        """Some of its rows: a slice, or their numbers."""
        return self._changed(lambda part: part[which])

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        parts = (self.mask, self.source, self.source_lengths, self.lengths)
        optional = (None if part is None else change(part) for part in parts)
        return Batch(change(self.inputs), change(self.targets), *optional)


@dataclass(frozen=True)
class Signature:
    """What a model must be to fit a task.

    Exactly one of ``vocabulary`` (tokens in) and ``channels`` (real values in) is set.
    ``num_outputs`` is the number of classes, or the vocabulary of the next token. Of sequence to sequence,
    ``length`` is the most that source and target may have, ``vocabulary`` is that of both, and ``causal`` says
    that the target's future is hidden. ``ragged``: rows may be shorter than ``length``, and come with their lengths.
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
    """The number a task is judged by. ``margin``: the difference that no user would mind."""

    name: str
    higher_is_better: bool
    margin: float
    ceiling: float | None = None
    """The best value possible, where there is one (1 for an accuracy)."""


@dataclass(frozen=True)
class Baseline:
    """A score that needs no neural network, in the task's own metric, on the test split."""

    name: str
    value: float
    guess: bool = False
    """It knows which answers are possible or common, and nothing else: a network that stays there has
    learned nothing."""
    extra_metrics: dict[str, float] = field(default_factory=dict)
    """Its score in further metrics, by name."""


Tallies = dict[str, tuple[float, float]]
"""Metric name -> (sum, count). Tallies of batches add up; sum / count is the metric."""


class Task(ABC):
    """Data, loss, metric and baseline. Constructor arguments are plain values, so that a run's
    specification can hold them as JSON and any process can rebuild the very same task.

    A task holds fixed train, validation and test splits, which do not depend on a run's seed.
    """

    kind: ClassVar[str]
    """The task's key in ``globalconv.tasks.TASKS``."""
    options: dict[str, Option]
    """All constructor arguments: ``build_task(kind, options)`` is this very task."""
    name: str
    """What the report calls it: the kind, or the name of the user's file."""
    signature: Signature
    metric: Metric
    digest: str
    """Hash of the data (or of what generates it): two tasks with one digest hold the same examples."""
    description: str
    """One sentence for the report: what the data is, where it came from, how much of it."""
    notices: tuple[str, ...] = ()
    """Remarks about what is odd in the data: one-example classes, constant columns."""
    classes: tuple[str, ...] = ()
    """What the user calls each class of a classification, in the order of the outputs."""

    @abstractmethod
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        """The batch of training step ``step``: a pure function, so that a resumed run sees the same."""

    @abstractmethod
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        """The whole of a held-out split, always in the same order."""

    def num_examples(self, split: EvaluationSplit) -> int:
        """Rows of all evaluation batches of a held-out split."""
        return sum(len(batch.targets) for batch in self.evaluation_batches(split, batch_size=4096))

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean training loss, a scalar, in nats. Logits: (batch, classes) or (batch, length, vocabulary).

        ``label_smoothing``: the share of the target's probability that is spread over all outputs alike.
        """

    @abstractmethod
    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        """Sums and counts of every metric over one batch, ``self.metric.name`` and ``loss`` among them."""

    def metrics(self, tallies: Tallies) -> dict[str, float]:
        """The metrics of a whole split from the tallies of all its batches, added up."""
        return {name: total / count for name, (total, count) in tallies.items() if count}

    def in_words(self, inputs: Tensor) -> str | None:
        """One example's inputs, (length,) or (length, channels), as people read them; None where they cannot."""
        del inputs
        return None

    @abstractmethod
    def baselines(self) -> list[Baseline]:
        """Scores of the models without a network, best last; fitted on train, scored on test."""
