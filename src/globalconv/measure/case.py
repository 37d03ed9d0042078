"""One case: what is computed, how much of it, and on how many threads."""

from dataclasses import dataclass
from typing import Literal

from globalconv.ops import Mode

Phase = Literal["forward", "training", "decode"]
PHASE_WORDS: dict[Phase, str] = {
    "forward": "forward",
    "training": "forward and backward",
    "decode": "decoding, one token",
}


@dataclass(frozen=True)
class Case:
    """``gated``: the operator with its skip term and both gates; ``length``: in decoding, the tokens of a sequence."""

    phase: Phase
    mode: Mode
    gated: bool
    threads: int
    batch: int
    width: int
    length: int

    @property
    def backward(self) -> bool:
        """Whether gradients are computed as well."""
        return self.phase == "training"

    @property
    def num_taps(self) -> int:
        """The most that the sequence can use."""
        return 2 * self.length - 1 if self.mode == "bidirectional" else self.length

    @property
    def numbers(self) -> int:
        """The numbers in a tensor (batch, length, width)."""
        return self.batch * self.length * self.width

    def words(self) -> str:
        """Mode, gates and phase, as a title says them."""
        return f"{self.mode}{', gated' * self.gated}, {PHASE_WORDS[self.phase]}"


def threads_words(threads: int) -> str:
    """'1 thread', '2 threads'."""
    return f"{threads} thread{'s' * (threads != 1)}"
