"""Sequences with one class each, as they came from a file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Layout = Literal["channels_last", "channels_first"]
Part = Literal["all", "train", "validation", "test"]
"""What a file says of its examples: they are all there are, or those of one split."""
LIKE_GROUPS = frozenset({"group", "groups", "subject", "subjects", "patient", "patients", "session", "site"})
"""In lower case, names of what may say which examples belong together."""


@dataclass(frozen=True)
class Labelled:
    """``values`` (n, length, channels) real and finite; ``labels`` (n,) strings, integers or booleans;
    (0,) where a file of new rows has none.

    ``lengths`` (n,) int64: how many positions of each sequence are real, the first ones; behind them the values are
    0. None: all. ``groups`` (n,): what belongs together, of any type. ``notices``: what was odd in the file.
    """

    values: NDArray[Any]
    labels: NDArray[Any]
    columns: tuple[str, ...]
    """What the user calls each position of a sequence."""
    lengths: NDArray[np.int64] | None = None
    groups: NDArray[Any] | None = None
    notices: tuple[str, ...] = ()
    layout: Layout = "channels_last"
    """Which axis of the file's array was time."""

    def take(self, indices: NDArray[np.int64]) -> "Labelled":
        """The examples at ``indices``."""
        return replace(
            self,
            values=self.values[indices],
            labels=self.labels[indices],
            lengths=None if self.lengths is None else self.lengths[indices],
            groups=None if self.groups is None else self.groups[indices],
        )

    @property
    def all_lengths(self) -> NDArray[np.int64]:
        """The lengths, also where all are the same."""
        if self.lengths is not None:
            return self.lengths
        return np.full(len(self.values), self.values.shape[1], dtype=np.int64)


def first_few(things: Iterable[object]) -> str:
    """The first five of ``things``, and how many more there are."""
    shown = [str(thing) for thing in things]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
