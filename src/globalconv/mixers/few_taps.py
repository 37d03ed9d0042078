"""What the mixers with few taps agree on: how many there are, which of them look ahead, and how they are dropped."""

from globalconv.errors import InputError

GLU_SIZE = 0.2922**0.5
"""The size of a sigmoid(b), for a and b standard normal."""


def few_taps(taps: int, length: int, *, causal: bool) -> int:
    """How many of ``taps`` have a lag that occurs among ``length`` tokens; causal ones look back, others both ways.

    Raises InputError for less than 1, and for an even number that is to be centred.
    """
    if taps < 1:
        raise InputError(f"taps {taps}: give at least 1.")
    if not causal and taps % 2 == 0:
        raise InputError(f"taps {taps}: give an odd number, as many ahead as behind, or causal=True.")
    return min(taps, length if causal else 2 * length - 1)


def check_dropout(dropout: float) -> float:
    """``dropout``, or InputError unless it is a probability below 1."""
    if not 0 <= dropout < 1:
        raise InputError(f"dropout {dropout}: give a probability from 0 to below 1.")
    return dropout
