"""Multi-query associative recall: which value followed this key?"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalconv.errors import InputError, unknown_name
from globalconv.tasks.base import (
    LONGEST_GENERATED,
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
from globalconv.tasks.scoring import cross_entropy, tally_answers

BLANK = 0
TRAIN, VALIDATION, TEST = 1, 2, 3
"""The first number of every seed, so that training data never shares a random stream with the held-out splits."""


class Recall(Task):
    """Multi-query associative recall (Zoology, Arora et al., arXiv 2312.04927, section 4 and its code).

    A sequence opens with ``num_pairs`` pairs key, value. After them every key is asked once, at the even
    distances 2 * s whose slots s = 0, 1, ... are drawn without replacement with the weights
    (s + 1) ** (power_a - 1), so that short gaps are the common ones. The target at the position of an
    asked key is its value; the loss counts at these positions only. Tokens: 0 is blank, keys are
    1 .. vocabulary // 2 - 1, values are the upper half of the vocabulary; keys and values
    are distinct within a sequence. ``filler``: the tokens between the questions, blanks (as in Zoology's figure
    2) or "random" tokens (their later default).

    Training data is fresh at every step. Raises InputError for sizes that cannot hold the pairs.
    """

    kind = "recall"
    metric = Metric("accuracy", higher_is_better=True, margin=0.02, ceiling=1.0)

    def __init__(
        self,
        vocabulary: int = 64,
        length: int = 32,
        num_pairs: int = 4,
        *,
        power_a: float = 0.01,
        filler: Literal["blank", "random"] = "blank",
        num_validation: int = 512,
        num_test: int = 1024,
    ) -> None:
        _check_sizes(vocabulary, length, num_pairs)
        if filler not in ("blank", "random"):
            raise unknown_name("filler", filler, ("blank", "random"))
        if min(num_validation, num_test) < 1:
            raise InputError("num_validation and num_test must be at least 1.")
        self.name = "recall"
        self.options: dict[str, Option] = {
            "vocabulary": vocabulary,
            "length": length,
            "num_pairs": num_pairs,
            "power_a": power_a,
            "filler": filler,
            "num_validation": num_validation,
            "num_test": num_test,
        }
        self.signature = Signature("next_token", True, length, vocabulary, vocabulary=vocabulary)
        self._num_pairs = num_pairs
        self._random_filler = filler == "random"
        slots = np.arange(1, (length - 2 * num_pairs) // 2 + 1)
        self._slot_weights = slots ** (power_a - 1.0)
        self._held_out: dict[EvaluationSplit, Batch] = {
            "validation": self._draw(num_validation, (VALIDATION,)),
            "test": self._draw(num_test, (TEST,)),
        }
        shown = (self.train_batch(0, seed=0, batch_size=64), *self._held_out.values())
        self.digest = digest_of(*(part.numpy() for batch in shown for part in (batch.inputs, batch.targets)))
        self.description = (
            f"Multi-query associative recall as in Zoology (arXiv 2312.04927), generated: {length} tokens, "
            f"vocabulary {vocabulary}, {num_pairs} pairs of key and value, then every key asked once; fresh "
            f"training data, {num_validation} validation, {num_test} test sequences."
        )

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        return self._draw(batch_size, (TRAIN, seed, step))

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        whole = self._held_out[split]
        assert whole.mask is not None
        for start in range(0, len(whole.inputs), batch_size):
            rows = slice(start, start + batch_size)
            # Copies, so that changing a batch in place does not change the split.
            yield Batch(whole.inputs[rows].clone(), whole.targets[rows].clone(), whole.mask[rows].clone())

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return cross_entropy(logits, batch, label_smoothing=label_smoothing)

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return tally_answers(logits, batch)

    def baselines(self) -> list[Baseline]:
        train = self.train_batch(0, seed=0, batch_size=1024)
        test = self._held_out["test"]
        due = test.targets[test.mask].reshape(-1, self._num_pairs)
        commonest = train.targets[train.mask].bincount().argmax()
        in_context = test.inputs[:, 1 : 2 * self._num_pairs : 2]
        hits = (due[:, :, None] == in_context[:, None, :]).double().mean()
        return [
            Baseline("commonest value", (due == commonest).double().mean().item(), guess=True),
            Baseline("guess among the values in the context", hits.item(), guess=True),
        ]

    def _draw(self, batch_size: int, entropy: tuple[int, ...]) -> Batch:
        rng = np.random.default_rng(entropy)
        vocabulary, length, pairs = self.signature.num_outputs, self.signature.length, self._num_pairs
        half, rows = vocabulary // 2, np.arange(batch_size)[:, None]
        keys = 1 + _distinct(rng, batch_size, half - 1, pairs)
        values = half + _distinct(rng, batch_size, vocabulary - half, pairs)
        # The first of competing exponential clocks of rate w rings with probability w / sum(w): the order
        # of ringing is a draw without replacement by weight.
        clocks = rng.exponential(size=(batch_size, len(self._slot_weights))) / self._slot_weights
        asked_at = 2 * (pairs + clocks.argsort(axis=1)[:, :pairs])

        inputs = np.full((batch_size, length), BLANK, dtype=np.int64)
        if self._random_filler:
            inputs = rng.integers(vocabulary, size=(batch_size, length))
        inputs[:, : 2 * pairs : 2] = keys
        inputs[:, 1 : 2 * pairs : 2] = values
        inputs[rows, asked_at] = keys
        targets = np.full((batch_size, length), BLANK, dtype=np.int64)
        targets[rows, asked_at] = values
        mask = np.zeros((batch_size, length), dtype=np.bool_)
        mask[rows, asked_at] = True
        return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(mask))


def _distinct(rng: np.random.Generator, rows: int, upper: int, count: int) -> NDArray[np.int64]:
    """(rows, count) integers below ``upper``, distinct within each row, in random order.

    Floyd's sampling (Bentley and Floyd, "A sample of brilliance", CACM 1987) for all rows at once: its cost
    grows with ``count``, not with the vocabulary.
    """
    chosen = np.empty((rows, count), dtype=np.int64)
    for column, last in enumerate(range(upper - count, upper)):
        drawn = rng.integers(last + 1, size=rows)
        taken = (chosen[:, :column] == drawn[:, None]).any(axis=1)
        chosen[:, column] = np.where(taken, last, drawn)
    return rng.permuted(chosen, axis=1)


def _check_sizes(vocabulary: int, length: int, num_pairs: int) -> None:
    if num_pairs < 1:
        raise InputError(f"num_pairs={num_pairs}: use at least 1.")
    if vocabulary // 2 - 1 < num_pairs:
        raise InputError(
            f"a vocabulary of {vocabulary} has {max(0, vocabulary // 2 - 1)} keys (token 0 is blank, the "
            f"upper half are values), fewer than the {num_pairs} pairs: use at least {2 * num_pairs + 2}."
        )
    if length > LONGEST_GENERATED:
        raise InputError(f"a length of {length} is too long for recall: use at most {LONGEST_GENERATED}.")
    if length < 4 * num_pairs:
        raise InputError(
            f"a length of {length} is too short for {num_pairs} pairs and their questions: "
            f"use at least {4 * num_pairs}, or fewer pairs."
        )
