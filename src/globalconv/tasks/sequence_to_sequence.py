"""Sequence to sequence: pairs of a source and a target, and how generated targets are scored."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalconv.tasks.base import Batch, Tallies, Task
from globalconv.tasks.scoring import cross_entropy, tally_answers

PADDING, START, END = 0, 1, 2
"""The first three tokens of every vocabulary. END ends sources and targets; START begins the decoder's input."""
FIRST_SYMBOL = 3

Tokens = NDArray[np.int64]


class SequenceToSequence(Task):
    """A task whose targets are sequences, which a model generates token by token.

    ``tally`` scores next tokens given the true prefix (teacher forcing); ``tally_written`` scores what the model
    generates, including the task's metric.
    """

    beams: int = 1
    """Beams that decode the test split; 1: greedy decoding."""

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return cross_entropy(logits, batch, label_smoothing=label_smoothing)

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return tally_answers(logits, batch)

    @abstractmethod
    def tally_written(self, written: Tensor, batch: Batch) -> Tallies:
        """Sums and counts for generated tokens (batch, any length) int64, which end with END and padding."""


def pair_batch(sources: Sequence[Tokens], targets: Sequence[Tokens]) -> Batch:
    """A batch of pairs, each given as tokens without START and END, padded at the end to the longest."""
    source, source_lengths = _closed(sources)
    target, target_lengths = _closed(targets)
    inputs = torch.full_like(target, START)
    inputs[:, 1:] = target[:, :-1]
    mask = torch.arange(target.shape[1]) < target_lengths[:, None]
    inputs[~mask] = PADDING
    padded = bool((source_lengths < source.shape[1]).any())
    return Batch(inputs, target, mask, source, source_lengths if padded else None)


def _closed(rows: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """(rows, longest + 1) tokens with END after each row, and each row's length including END."""
    lengths = np.array([len(row) for row in rows])
    table = np.full((len(rows), lengths.max() + 1), PADDING, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate(rows)
    table[np.arange(len(rows)), lengths] = END
    return torch.from_numpy(table), torch.from_numpy(lengths + 1)


def tally_exact(written: Tensor, batch: Batch) -> Tallies:
    """``exact_match``: rows that agree up to and including END; ``token_accuracy``: positions that agree."""
    assert batch.mask is not None
    places = batch.targets.shape[1]
    agree = torch.zeros_like(batch.mask)
    shown = written[:, :places]
    agree[:, : shown.shape[1]] = shown == batch.targets[:, : shown.shape[1]]
    exact = (agree | ~batch.mask).all(dim=1).sum()
    right, count = (agree & batch.mask).sum(), batch.mask.sum()
    return {
        "exact_match": (float(exact), float(len(written))),
        "token_accuracy": (float(right), float(count)),
    }


def until_end(tokens: Sequence[int]) -> list[int]:
    """The tokens before END, or all tokens if there is none."""
    row = list(tokens)
    return row[: row.index(END)] if END in row else row
