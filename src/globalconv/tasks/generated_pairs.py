"""Pairs made by a rule: which are trained on and which are held out, for rules with few answers too."""

import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
from torch import Tensor

from globalconv.errors import InputError
from globalconv.tasks.base import Baseline, Batch, EvaluationSplit, Metric, Tallies
from globalconv.tasks.digest import digest_of
from globalconv.tasks.sequence_to_sequence import SequenceToSequence, Tokens, pair_batch, tally_exact

HELD_OUT = 20
"""One source in twenty belongs to the validation split, and another to the test split, by a hash of its tokens:
so none is trained on, however few there are."""
MOST_DRAWS = 400
"""Draws per example that is wanted, before the sources are declared too few."""


class GeneratedPairs(SequenceToSequence):
    """Sources from a generator, targets from a rule; fresh training data at every step.

    A subclass sets its options, then calls ``_set_up``, which raises InputError where there are too few sources.
    Metric: exact match, written greedily.
    """

    metric = Metric("exact_match", higher_is_better=True, margin=0.02, ceiling=1.0)

    @abstractmethod
    def draw_source(self, rng: np.random.Generator) -> Tokens:
        """A source without START and END."""

    @abstractmethod
    def answer(self, source: Tokens) -> Tokens:
        """The target of ``source``, without START and END."""

    @abstractmethod
    def symbol(self, token: int) -> str:
        """A token as people write it."""

    @abstractmethod
    def more_sources(self) -> str:
        """What to ask for, where there are too few different sources: "use ..."."""

    def _set_up(self, *, num_validation: int, num_test: int) -> None:
        if min(num_validation, num_test) < 1:
            raise InputError("num_validation and num_test must be at least 1.")
        self._held_out: dict[EvaluationSplit, list[Tokens]] = {
            "validation": self._draw("validation", num_validation, (1,), distinct=True),
            "test": self._draw("test", num_test, (2,), distinct=True),
        }
        shown = (
            self.train_batch(0, seed=0, batch_size=64),
            *(self._batch(s) for s in self._held_out.values()),
        )
        parts = (part for batch in shown for part in (batch.source, batch.targets))
        self.digest = digest_of(*(part.numpy() for part in parts if part is not None))

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        return self._batch(self._draw("train", batch_size, (0, seed, step)))

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        sources = self._held_out[split]
        for start in range(0, len(sources), batch_size):
            yield self._batch(sources[start : start + batch_size])

    def tally_written(self, written: Tensor, batch: Batch) -> Tallies:
        return tally_exact(written, batch)

    def in_words(self, inputs: Tensor) -> str:
        """The symbols, with spaces between."""
        return " ".join(self.symbol(token) for token in inputs.tolist())

    def baselines(self) -> list[Baseline]:
        train = self._draw("train", 1024, (0, 0, 0))
        answers = [self.answer(source).tobytes() for source in train]
        commonest = np.frombuffer(max(sorted(set(answers)), key=answers.count), np.int64)
        return [Baseline("the commonest answer", self._share_right(lambda _: commonest), guess=True)]

    def _share_right(self, guess: Callable[[Tokens], Tokens]) -> float:
        """How often ``guess``, a function of the source, gives the answer on the test split."""
        sources = self._held_out["test"]
        return float(np.mean([np.array_equal(guess(source), self.answer(source)) for source in sources]))

    def _batch(self, sources: list[Tokens]) -> Batch:
        return pair_batch(sources, [self.answer(source) for source in sources])

    def _draw(
        self, split: str, count: int, entropy: tuple[int, ...], *, distinct: bool = False
    ) -> list[Tokens]:
        rng = np.random.default_rng(entropy)
        found: list[Tokens] = []
        seen: set[bytes] = set()
        for _ in range(MOST_DRAWS * count):
            source = self.draw_source(rng)
            key = source.tobytes()
            if _split_of(key) != split or key in seen:
                continue
            found.append(source)
            if len(found) == count:
                return found
            if distinct:
                seen.add(key)
        raise InputError(
            f"{self.name} has too few different sources for {count} in the {split} split: {self.more_sources()}."
        )


def _split_of(source: bytes) -> str:
    return {0: "test", 1: "validation"}.get(zlib.crc32(source) % HELD_OUT, "train")
