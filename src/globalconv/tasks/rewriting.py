"""Copy, reverse, sort: random symbols in, the same symbols out, in another order."""

import itertools
from typing import ClassVar

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.base import LONGEST_GENERATED, Baseline, Option, Signature
from globalconv.tasks.generated_pairs import HELD_OUT, GeneratedPairs
from globalconv.tasks.sequence_to_sequence import FIRST_SYMBOL, Tokens


class Rewriting(GeneratedPairs):
    """Random symbols, and the same symbols in the order that the subclass says.

    A source has from ``min_length`` (None: just as many) to ``length`` symbols, all lengths alike, each of
    ``num_symbols``, with repetitions; 19 of 20 possible sources, as a hash decides, are drawn anew for
    training, and of the others ``num_validation`` and ``num_test`` are fixed. Raises InputError for sizes that
    leave no choice of sources.
    """

    rule: ClassVar[str]
    """What the task asks for, as a phrase."""

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
            raise InputError(f"lengths from {shortest} to {length}: use 1 or more, the shortest first.")
        if length > LONGEST_GENERATED:
            raise InputError(
                f"a length of {length} is more than {self.kind} draws: use at most {LONGEST_GENERATED}."
            )
        if num_symbols < 2:
            raise InputError(f"num_symbols={num_symbols}: at least 2 are needed for one order to differ.")
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
        # Twice as many as fill the larger split on the average: so it is found within the draws.
        self._enough_sources = 2 * HELD_OUT * max(num_validation, num_test)
        vocabulary = FIRST_SYMBOL + num_symbols
        # One more place for the token that ends a sequence.
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
        # In whole numbers: a logarithm would round.
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
