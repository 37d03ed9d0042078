"""One vocabulary of subwords for both languages, learned from the training pairs."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.optional_imports import translation_library
from globalconv.tasks.sequence_to_sequence import FIRST_SYMBOL, Tokens, until_end

NUM_BYTES = 256
FEWEST_TIMES = 5
"""A pair of subwords that occurs less often is not merged: such rare tokens cannot be trained."""


class Subwords:
    """Byte-pair encoding over bytes (arXiv 1508.07909), by the tokenizers library: lossless for any text.

    ``size`` counts the three control tokens, the 256 bytes and the merges. It is at most ``largest``, and smaller if
    ``texts`` have fewer pairs that occur FEWEST_TIMES. Raises InputError if ``largest`` is too small for the bytes.

    The library does not know the control tokens: its numbers begin after them, so no text can spell one.
    """

    def __init__(self, texts: Iterable[str], largest: int) -> None:
        smallest = FIRST_SYMBOL + NUM_BYTES
        if largest < smallest:
            raise InputError(f"a vocabulary of {largest} is too small: bytes alone need {smallest}.")
        library = translation_library("tokenizers")
        byte_level = library.pre_tokenizers.ByteLevel
        self._encoding: Any = library.Tokenizer(library.models.BPE())
        self._encoding.pre_tokenizer = byte_level(add_prefix_space=False)
        self._encoding.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=largest - FIRST_SYMBOL,
            min_frequency=FEWEST_TIMES,
            initial_alphabet=sorted(byte_level.alphabet()),
            show_progress=False,
        )
        self._encoding.train_from_iterator(texts, trainer)
        self.size: int = FIRST_SYMBOL + self._encoding.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, without START and END."""
        found = self._encoding.encode_batch(list(texts))
        return [np.array(text.ids, dtype=np.int64) + FIRST_SYMBOL for text in found]

    def decode(self, rows: Iterable[Sequence[int]]) -> list[str]:
        """The text of each row of tokens, up to its END."""
        kept = [[token - FIRST_SYMBOL for token in until_end(row) if token >= FIRST_SYMBOL] for row in rows]
        return list(self._encoding.decode_batch(kept))
