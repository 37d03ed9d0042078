"""Number words to digits: three hundred seven -> 3 0 7."""

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.base import Baseline, Option, Signature
from globalconv.tasks.generated_pairs import GeneratedPairs
from globalconv.tasks.sequence_to_sequence import FIRST_SYMBOL, Tokens

DIGITS = tuple("0123456789")
UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ("", "thousand", "million")
SYMBOLS = (*DIGITS, *UNITS, *TENS, "hundred", *SCALES[1:])
ZEROS = 0.4
"""The share of digits that are set to zero: digits that no word names are the hard part."""
TOKEN = {symbol: FIRST_SYMBOL + place for place, symbol in enumerate(SYMBOLS)}
FIRST_FIGURES = {TOKEN[word]: str(number) for number, word in enumerate(UNITS)} | {
    TOKEN[word]: str(tens) for tens, word in enumerate(TENS, start=2)
}
"""The digits of each word, without zeros to fill in."""


class NumberWords(GeneratedPairs):
    """English number words, and the digits of the number.

    Whole numbers of 1 to ``max_digits`` digits, each number of digits equally likely, with zeros more often than by
    chance; one token per word and per digit. The digits of a word depend on distant words: "five" may be followed by
    zeros that no word names. A hash decides which numbers are held out, as in ``Rewriting``.
    """

    kind = "number_words"

    def __init__(self, max_digits: int = 9, *, num_validation: int = 256, num_test: int = 1024) -> None:
        most = 3 * len(SCALES)
        if not 1 <= max_digits <= most:
            raise InputError(f"max_digits={max_digits}: use 1 to {most}.")
        self.name = self.kind
        self.options: dict[str, Option] = {
            "max_digits": max_digits,
            "num_validation": num_validation,
            "num_test": num_test,
        }
        self._max_digits = max_digits
        longest = max(max_digits, len(words_of(int("7" * max_digits))))
        vocabulary = FIRST_SYMBOL + len(SYMBOLS)
        self.signature = Signature(
            "sequence_to_sequence", True, longest + 1, vocabulary, vocabulary=vocabulary
        )
        self._set_up(num_validation=num_validation, num_test=num_test)
        self.description = (
            f"English number words to digits: numbers of 1 to {max_digits} digits, generated; fresh training data, "
            f"{num_validation} validation, {num_test} test numbers, none of them trained on; decoding is "
            "greedy."
        )

    def draw_source(self, rng: np.random.Generator) -> Tokens:
        digits = rng.integers(10, size=rng.integers(1, self._max_digits + 1))
        digits[rng.random(len(digits)) < ZEROS] = 0
        if len(digits) > 1:
            digits[0] = rng.integers(1, 10)
        return np.array([TOKEN[word] for word in words_of(int("".join(map(str, digits))))])

    def answer(self, source: Tokens) -> Tokens:
        return np.array([TOKEN[digit] for digit in str(value_of([self.symbol(t) for t in source.tolist()]))])

    def more_sources(self) -> str:
        return "use a larger max_digits, or fewer held-out examples (num_validation, num_test)"

    def symbol(self, token: int) -> str:
        return ("_", "<", ">")[token] if token < FIRST_SYMBOL else SYMBOLS[token - FIRST_SYMBOL]

    def baselines(self) -> list[Baseline]:
        def word_by_word(source: Tokens) -> Tokens:
            figures = "".join(FIRST_FIGURES.get(token, "") for token in source.tolist())
            return np.array([TOKEN[figure] for figure in figures])

        baselines = [
            *super().baselines(),
            Baseline("each word's own figures", self._share_right(word_by_word)),
        ]
        return sorted(baselines, key=lambda baseline: baseline.value)


def words_of(number: int) -> list[str]:
    """The English words of a whole number below a billion, without "and"."""
    if number == 0:
        return [UNITS[0]]
    words: list[str] = []
    for scale, name in reversed(list(enumerate(SCALES))):
        hundreds, rest = divmod(number // 1000**scale % 1000, 100)
        part = [UNITS[hundreds], "hundred"] if hundreds else []
        if rest >= 20:
            part.append(TENS[rest // 10 - 2])
            rest %= 10
        if rest:
            part.append(UNITS[rest])
        words += [*part, name] if part and name else part
    return words


def value_of(words: list[str]) -> int:
    """The number of ``words``, the inverse of ``words_of``."""
    total = group = 0
    for word in words:
        if word in UNITS:
            group += UNITS.index(word)
        elif word in TENS:
            group += 10 * (TENS.index(word) + 2)
        elif word == "hundred":
            group *= 100
        else:
            total += group * 1000 ** SCALES.index(word)
            group = 0
    return total + group
