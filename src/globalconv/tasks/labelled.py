"""Sequences with one class each, as read from a file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Layout = Literal["channels_last", "channels_first"]
Part = Literal["all", "train", "validation", "test"]
"""Which examples a file holds: all of them, or those of one split."""
LIKE_GROUPS = frozenset({"group", "groups", "subject", "subjects", "patient", "patients", "session", "site"})
"""Names, in lower case, that suggest that a column or array holds groups."""


@dataclass(frozen=True)
class Labelled:
    """``values`` (n, length, channels) real and finite; ``labels`` (n,) strings, integers or booleans;
    (0,) if a file of new rows has none.

    ``lengths`` (n,) int64: the number of real positions in each sequence, which come first; the rest is 0. None: all.
    ``groups`` (n,), of any type: examples of a group belong together. ``notices``: oddities in the file.
    """

    values: NDArray[Any]
    labels: NDArray[Any]
    columns: tuple[str, ...]
    """The file's name of each position of a sequence."""
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
        """The lengths, also if all are equal."""
        if self.lengths is not None:
            return self.lengths
        return np.full(len(self.values), self.values.shape[1], dtype=np.int64)


def first_few(things: Iterable[object]) -> str:
    """The first five of ``things``, and the number of the others."""
    shown = [str(thing) for thing in things]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
