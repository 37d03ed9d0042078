"""Copy, reverse, sort: random symbols, and the same symbols in another order."""

import itertools
from typing import ClassVar

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.base import LONGEST_GENERATED, Baseline, Option, Signature
from globalconv.tasks.generated_pairs import HELD_OUT, GeneratedPairs
from globalconv.tasks.sequence_to_sequence import FIRST_SYMBOL, Tokens


class Rewriting(GeneratedPairs):
    """Random symbols as source; the same symbols, in the order that the subclass defines, as target.

    A source has ``min_length`` (None: ``length``) to ``length`` symbols, all lengths equally likely, each one of
    ``num_symbols``, with repetition. A hash reserves 18 of 20 possible sources for training, which draws fresh
    ones; the ``num_validation`` and ``num_test`` held-out sources are fixed. Raises InputError for sizes with too
    few different sources.
    """

    rule: ClassVar[str]
    """The task as an instruction, for the description."""

    def __init__(
        self,
        length: int = 32,
        num_symbols: int = 20,
        *,
        min_length: int | None = None,
        num_validation: int = 256,
        num_test: int = 1024,
    ) -> None:
        shortest = length if min_length is None else min_length
        if not 1 <= shortest <= length:
            raise InputError(f"lengths from {shortest} to {length}: use at least 1, and the shortest first.")
        if length > LONGEST_GENERATED:
            raise InputError(
                f"a length of {length} is too long for {self.kind}: use at most {LONGEST_GENERATED}."
            )
        if num_symbols < 2:
            raise InputError(f"num_symbols={num_symbols}: use at least 2, so that the order matters.")
        self.name = self.kind
        self.options: dict[str, Option] = {
            "length": length,
            "num_symbols": num_symbols,
            "min_length": min_length,
            "num_validation": num_validation,
            "num_test": num_test,
        }
        self._lengths = (shortest, length)
        self._num_symbols = num_symbols
        # Twice as many sources as the larger split needs on average, so that the draws suffice.
        self._enough_sources = 2 * HELD_OUT * max(num_validation, num_test)
        vocabulary = FIRST_SYMBOL + num_symbols
        # One more position for END.
        self.signature = Signature(
            "sequence_to_sequence", True, length + 1, vocabulary, vocabulary=vocabulary
        )
        self._set_up(num_validation=num_validation, num_test=num_test)
        lengths = f"{length}" if shortest == length else f"{shortest} to {length}"
        self.description = (
            f"{self.rule}: {lengths} random symbols out of {num_symbols}, generated; fresh training data, "
            f"{num_validation} validation, {num_test} test sequences; answers are written greedily."
        )

    def draw_source(self, rng: np.random.Generator) -> Tokens:
        shortest, longest = self._lengths
        return rng.integers(self._num_symbols, size=rng.integers(shortest, longest + 1)) + FIRST_SYMBOL

    def more_sources(self) -> str:
        # In integers, because a logarithm would round.
        length = next(n for n in itertools.count(1) if self._num_symbols**n >= self._enough_sources)
        return f"use --length {length} or more"

    def symbol(self, token: int) -> str:
        return ("_", "<", ">")[token] if token < FIRST_SYMBOL else str(token - FIRST_SYMBOL)


class Copy(Rewriting):
    """The symbols as they are."""

    kind = "copy"
    rule = "Write the source once more"

    def answer(self, source: Tokens) -> Tokens:
        return source


class Reverse(Rewriting):
    """The symbols from the last to the first."""

    kind = "reverse"
    rule = "Write the source backwards"

    def answer(self, source: Tokens) -> Tokens:
        return source[::-1].copy()

    def baselines(self) -> list[Baseline]:
        return [
            *super().baselines(),
            Baseline("the source as it is", self._share_right(lambda source: source)),
        ]


class Sort(Rewriting):
    """The symbols in ascending order."""

    kind = "sort"
    rule = "Write the source's symbols in ascending order"

    def answer(self, source: Tokens) -> Tokens:
        return np.sort(source)

    def baselines(self) -> list[Baseline]:
        return [
            *super().baselines(),
            Baseline("the source as it is", self._share_right(lambda source: source)),
        ]
