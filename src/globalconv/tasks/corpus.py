"""Text in three splits: training bytes and held-out bytes."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError, printable
from globalconv.tasks.text_files import read_texts

MAX_BYTES = 4_500_000
"""About 4 MB of training data: more than a study of minutes reads once."""
ENOUGH_FILES = 20
HELD_OUT = 20
"""One part in twenty is the validation split, and another the test split."""
LARGEST = (0.25, 0.5, 1.0)
"""The largest share of its split that one file may have. The smallest that works is used, so that no single file
decides the score if there is a choice."""


@dataclass(frozen=True)
class Corpus:
    """Bytes (n,) uint8 in three splits. No file, or no position, is in two of them."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    test: NDArray[np.uint8]
    description: str
    notices: tuple[str, ...]


def read_corpus(
    path: Path | None, *, max_bytes: int, window: int, own: Mapping[str, Path] | None = None
) -> Corpus:
    """The text of the file or folder ``path`` (None: Python's standard library) in three splits.

    ``own``: "validation" or "test" -> the file or folder of that split; at most as much is read of it. Nothing is then
    held out for this split.

    With 20 files or more, whole files are held out, about 5 % of the bytes for each of validation and
    test. With fewer, or if no choice of files comes near 5 %, all files are concatenated, and the last two
    twentieths are held out. A split's files are concatenated, so a window may cross from one file to
    the next. Every split holds at least ``window`` bytes. Raises InputError.
    """
    own = own or {}
    needed = window if len(own) == 2 else HELD_OUT * window
    if max_bytes < needed:
        raise InputError(
            f"a length of {window - 1} is too long: at most {max_bytes} bytes of text are read, and two windows must "
            f"fit into the 5 % that are held out. Use a length of at most {max_bytes // HELD_OUT - 1}."
        )
    texts = read_texts(path, max_bytes=max_bytes)
    source = (
        printable(f"'{path}'")
        if path
        else f"the standard library of Python {platform.python_version()} (.py, no tests)"
    )
    total = sum(map(len, texts.contents))
    if total < needed:
        longest = total // HELD_OUT - 1
        shorter = f", or use a length of at most {longest}" if longest > 0 else ""
        raise InputError(
            f"{source} holds {total} bytes of text, too few for a length of {window - 1}. Give at least "
            f"{needed} bytes, so that 5 % can be held out twice{shorter}."
        )
    notices = texts.notices
    if len(own) == 2:
        parts, how = (
            {"train": b"".join(texts.contents), "validation": b"", "test": b""},
            "all of it for training",
        )
    else:
        parts, how = _split(texts.contents, window)
    for name, place in own.items():
        held = read_texts(place, max_bytes=max_bytes)
        # The part that was held out for this split joins the training split.
        parts["train"] += parts[name]
        parts[name] = b"".join(held.contents)
        if len(parts[name]) < window:
            raise InputError(
                f"'{place}' holds {len(parts[name])} bytes of text, too few for a length of {window - 1}. "
                "Give more text or use a shorter length."
            )
        how += f", {name} from '{place}'"
        notices += tuple(printable(f"'{place}': {notice}") for notice in held.notices)
    num_files = len(texts.contents)
    sizes = ", ".join(f"{len(part) / 1e6:.3g} MB {name}" for name, part in parts.items())
    description = f"Bytes of {source}, {num_files} file{'s' * (num_files > 1)}, {printable(how)}: {sizes}"
    arrays = [np.frombuffer(part, np.uint8) for part in parts.values()]
    return Corpus(arrays[0], arrays[1], arrays[2], description, notices)


def _split(contents: tuple[bytes, ...], window: int) -> tuple[dict[str, bytes], str]:
    """Train, validation and test of one text, and how it was split."""
    candidates = (_by_file(contents, window, largest) for largest in LARGEST)
    splits = next(filter(None, candidates), None) if len(contents) >= ENOUGH_FILES else None
    how = "split by position" if splits is None else "split by whole files"
    return dict(
        zip(("train", "validation", "test"), splits or _by_position(b"".join(contents)), strict=True)
    ), how


def _by_file(contents: tuple[bytes, ...], window: int, largest: float) -> tuple[bytes, bytes, bytes] | None:
    """Train, validation and test; None if the files' sizes allow no split near 90 : 5 : 5.

    The files are already in random order, so taking the first that fit is fair.
    """
    goal = sum(map(len, contents)) // HELD_OUT
    held: dict[str, list[bytes]] = {"test": [], "validation": []}
    sizes = dict.fromkeys(held, 0)
    train = []
    for content in contents:
        wanting = [name for name in held if sizes[name] < goal and len(content) <= largest * goal]
        if wanting:
            held[wanting[0]].append(content)
            sizes[wanting[0]] += len(content)
        else:
            train.append(content)
    if min(sizes.values()) < max(window, goal / 2):
        return None
    return b"".join(train), b"".join(held["validation"]), b"".join(held["test"])


def _by_position(content: bytes) -> tuple[bytes, bytes, bytes]:
    part = len(content) // HELD_OUT
    return content[: -2 * part], content[-2 * part : -part], content[-part:]
