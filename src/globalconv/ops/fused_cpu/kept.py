"""A cache of what was made for one call and the next one may need, bounded in bytes.

There is no lock. A call can be interrupted by another on its own thread, between any two lines (by a signal
handler, or a finaliser), which would wait for ever, and a fork may leave the holder of a lock behind. So what is
kept lies in a dict that is replaced and never changed. Of two that replace it at once, what one added is lost, and
made again when it is wanted.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

Value = TypeVar("Value")
_clock = count()


@dataclass
class _Entry(Generic[Value]):
    value: Value
    nbytes: int
    used: int = field(default_factory=lambda: next(_clock))


class Kept(Generic[Value]):
    """Values by key. The newest is always kept; of the others, those used last, as long as all fit ``most_bytes``."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: dict[Hashable, _Entry[Value]] = {}

    def get(self, key: Hashable) -> Value | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.used = next(_clock)
        return entry.value

    def put(self, key: Hashable, value: Value, nbytes: int) -> None:
        new: _Entry[Value] = _Entry(value, nbytes)
        others = {other: entry for other, entry in self._entries.items() if other != key}
        entries, total = {key: new}, nbytes
        for other, entry in sorted(others.items(), key=lambda item: item[1].used, reverse=True):
            total += entry.nbytes
            if total > self.most_bytes:
                break
            entries[other] = entry
        self._entries = entries

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self._entries.values())
