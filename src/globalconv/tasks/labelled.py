"""Sequences with one class each, as they came from a file."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Labelled:
    """``values`` (n, length, channels) real and finite; ``labels`` (n,) strings, integers or booleans."""

    values: NDArray[Any]
    labels: NDArray[Any]
    columns: tuple[str, ...]
    """What the user calls each position of a sequence."""


def first_few(things: Iterable[object]) -> str:
    """The first five of ``things``, and how many more there are."""
    shown = [str(thing) for thing in things]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
