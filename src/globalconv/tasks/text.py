"""Byte-level language modelling, on the user's text or on Python's own sources."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError, printable
from globalconv.tasks.base import Baseline, Batch, EvaluationSplit, Metric, Option, Signature, Tallies, Task
from globalconv.tasks.corpus import MAX_BYTES, read_corpus
from globalconv.tasks.digest import digest_of
from globalconv.tasks.files import user_path
from globalconv.tasks.ngram import ngram_bits
from globalconv.tasks.scoring import cross_entropy

VOCABULARY = 256
MAX_NGRAM_CONTEXT = 5
FEW_WINDOWS = 16
VALIDATION_BYTES, TEST_BYTES = 2**14, 2**16
"""About how many bytes are scored by default, at any length, so that evaluation takes little of a run's time."""


class Text(Task):
    """Predict the next byte of text, from at most ``length`` bytes of context.

    ``path`` is a file or a folder (see globalconv.tasks.corpus for what is read and how it is split);
    None: the standard library's sources of the running Python. ``validation`` and ``test``: files or folders of your
    own splits. ``max_bytes`` limits what is read. Training windows of length + 1 bytes
    start anywhere in the training bytes; the held-out windows do not overlap, are evenly spaced and fixed, at most
    ``max_validation_windows`` and ``max_test_windows`` (None: 64 and 256 up to length 256, fewer for longer
    windows, at least 8 and 32).

    Metric: bits per byte over all predicted bytes, with a margin of 0.03. Further metrics: ``accuracy`` of the
    likeliest byte, the bits per byte of *recall bytes* (``bits_recall``) and of the others (``bits_other``), and the
    share of recall bytes (``recall_fraction``). See `recall_mask`.

    Raises InputError if a path holds no text, or too little for ``length``.
    """

    kind = "text"
    metric = Metric("bits_per_byte", higher_is_better=False, margin=0.03)

    def __init__(
        self,
        path: str | None = None,
        length: int = 256,
        *,
        validation: str | None = None,
        test: str | None = None,
        max_validation_windows: int | None = None,
        max_test_windows: int | None = None,
        recall_context: int = 4,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if max_validation_windows is None:
            max_validation_windows = windows_of(VALIDATION_BYTES, length, fewest=8)
        if max_test_windows is None:
            max_test_windows = windows_of(TEST_BYTES, length, fewest=32)
        if length < 1 or min(max_validation_windows, max_test_windows) < 1:
            raise InputError("length, max_validation_windows and max_test_windows must be at least 1.")
        if not 1 <= recall_context <= 7:
            raise InputError(f"recall_context={recall_context}: use 1 to 7 bytes.")
        where = None if path is None else user_path(path)
        named: dict[EvaluationSplit, str | None] = {"validation": validation, "test": test}
        own: dict[str, Path] = {
            split: user_path(place) for split, place in named.items() if place is not None
        }
        corpus = read_corpus(where, max_bytes=max_bytes, window=length + 1, own=own)
        self.name = "text" if where is None else printable(where.name or str(where))
        self.options: dict[str, Option] = {
            "path": None if where is None else str(where),
            "length": length,
            **{split: str(own[split]) if split in own else None for split in named},
            "max_validation_windows": max_validation_windows,
            "max_test_windows": max_test_windows,
            "recall_context": recall_context,
            "max_bytes": max_bytes,
        }
        self.signature = byte_signature(length)
        self._recall_context = recall_context
        self._train = corpus.train
        limits: dict[EvaluationSplit, int] = {"validation": max_validation_windows, "test": max_test_windows}
        self._windows: dict[EvaluationSplit, NDArray[np.uint8]] = {
            "validation": even_windows(corpus.validation, length + 1, limits["validation"]),
            "test": even_windows(corpus.test, length + 1, limits["test"]),
        }
        self.digest = digest_of(self._train, *self._windows.values(), np.array([recall_context]))
        num_windows = {split: len(windows) for split, windows in self._windows.items()}
        self.description = (
            f"{corpus.description}; windows of {length} bytes: random ones for training, "
            f"{num_windows['validation']} fixed ones for validation and {num_windows['test']} for testing."
        )
        self.notices = corpus.notices + tuple(
            f"The {split} split holds only {num} windows of {length} bytes, so its scores are noisy. "
            "Give more text, or use a shorter length."
            for split, num in num_windows.items()
            if num < FEW_WINDOWS and num < limits[split]
        )
        if own:
            self.notices += _repeated(self._train, self._windows)

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        length = self.signature.length
        rng = np.random.default_rng((seed, step))
        starts = rng.integers(len(self._train) - length, size=batch_size)
        return _batch(self._train[starts[:, None] + np.arange(length + 1)])

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        windows = self._windows[split]
        for start in range(0, len(windows), batch_size):
            yield _batch(windows[start : start + batch_size])

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return cross_entropy(logits, batch, label_smoothing=label_smoothing)

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        nats = F.cross_entropy(
            logits.flatten(0, 1).float(), batch.targets.flatten(), reduction="none"
        ).double()
        correct = (logits.argmax(-1) == batch.targets).sum().item()
        recall = recall_mask(batch.inputs, self._recall_context).flatten()
        count, num_recall = float(len(nats)), float(recall.sum().item())
        total, total_recall = nats.sum().item(), nats[recall].sum().item()
        bit = math.log(2)
        return {
            "bits_per_byte": (total / bit, count),
            "loss": (total, count),
            "accuracy": (float(correct), count),
            "bits_recall": (total_recall / bit, num_recall),
            "bits_other": ((total - total_recall) / bit, count - num_recall),
            "recall_fraction": (num_recall, count),
        }

    def readable(self, inputs: Tensor) -> str:
        """The bytes as text."""
        return bytes(inputs.tolist()).decode(errors="replace")

    def baselines(self) -> list[Baseline]:
        """n-gram models in bits per byte, on the test windows; the best order is chosen on validation."""
        held_out = [self._windows["validation"], self._windows["test"]]
        bits = ngram_bits(self._train, np.concatenate(held_out), max_context=MAX_NGRAM_CONTEXT)
        validation, test = (part.mean(axis=1) for part in np.split(bits, [len(held_out[0])], axis=1))
        best = int(validation.argmin())
        names = {order: f"n-gram, {order} byte{'s' * (order > 1)} of context" for order in (2, 3, best)}
        names[0] = "byte frequencies"
        names[best] += " (best on validation)"
        baselines = [Baseline(name, float(test[order]), guess=order == 0) for order, name in names.items()]
        return sorted(baselines, key=lambda baseline: -baseline.value)


def windows_of(size: int, length: int, *, fewest: int) -> int:
    """The number of windows of ``length`` bytes that hold ``size`` bytes, at least ``fewest``; below length 256 as
    many as at 256."""
    return max(fewest, size // max(length, 256))


def byte_signature(length: int) -> Signature:
    """The signature of a language model of bytes."""
    return Signature("next_token", True, length, VOCABULARY, vocabulary=VOCABULARY)


def recall_mask(inputs: Tensor, context: int) -> Tensor:
    """The next bytes that a look-up in the window could predict: (batch, length) bool.

    ``inputs`` (batch, length) int64 bytes. The byte after position t is a *recall byte* if the
    ``context`` bytes that end at t occurred earlier in the same window, ending at some s < t; the byte that
    followed them, at s + 1 <= t, is visible. Whether it follows again does not matter.

    Zoology's "AR hits" (arXiv 2312.04927, section 3) differ: there the answer itself must repeat (its
    bigram of word pieces stood in the context before), and bigrams that are frequent in the training
    data are left out. Here the class of a byte is known before the byte, so the split does not depend on
    whether a guess is right; but an n-gram model can predict some of the recall bytes.
    """
    recall = torch.zeros_like(inputs, dtype=torch.bool)
    if inputs.shape[1] < context:
        return recall
    keys = torch.zeros_like(inputs[:, context - 1 :])
    for lag in range(context):
        keys = keys * VOCABULARY + inputs[:, lag : lag + keys.shape[1]]
    ordered, order = keys.sort(dim=1, stable=True)
    repeated = torch.zeros_like(ordered, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    recall[:, context - 1 :].scatter_(1, order, repeated)
    return recall


def even_windows(text: NDArray[np.uint8], size: int, limit: int) -> NDArray[np.uint8]:
    """At most ``limit`` windows (n, size) of ``text``, evenly spaced from its first byte to its last."""
    num = min(limit, len(text) // size)
    last = len(text) - size
    starts = np.arange(num) * last // max(1, num - 1)
    windows: NDArray[np.uint8] = text[starts[:, None] + np.arange(size)]
    return windows


def _repeated(
    train: NDArray[np.uint8], held_out: Mapping[EvaluationSplit, NDArray[np.uint8]]
) -> tuple[str, ...]:
    """Notices about held-out windows that also occur in the training text."""
    text = train.tobytes()
    found = {
        split: sum(window.tobytes() in text for window in windows) for split, windows in held_out.items()
    }
    return tuple(
        f"{num} of {len(held_out[split])} {split} windows also occur in the training text, byte for byte: their scores "
        "are too good."
        for split, num in found.items()
        if num
    )


def _batch(windows: NDArray[np.uint8]) -> Batch:
    # Two arrays, not two views, so that masking inputs in place does not change the targets.
    inputs, targets = windows[:, :-1].astype(np.int64), windows[:, 1:].astype(np.int64)
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets))
