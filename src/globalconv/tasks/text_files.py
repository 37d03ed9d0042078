"""Find the text files that a user means, and read a bounded amount of them."""

import codecs
import hashlib
import os
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from globalconv.errors import InputError

NOT_SOURCES = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data"}
)
"""Folders below the standard library without its program text: installed packages, tests, tables."""
WHAT_TEXT_IS = "Text is UTF-8 without null bytes; iconv -t utf-8 converts other encodings."


@dataclass(frozen=True)
class Texts:
    """The contents of text files in a fixed order, and what was left out, in plain words."""

    contents: tuple[bytes, ...]
    notices: tuple[str, ...]


def read_texts(path: Path | None, *, max_bytes: int) -> Texts:
    """At most ``max_bytes`` bytes of the file or folder ``path``; None: Python's standard library.

    A folder's files are found recursively, except hidden ones (.git and the like), and read in the order
    of a hash of their relative paths, the same on every machine. Files that are not text, empty,
    unreadable, or equal to another are skipped and counted in the notices. Raises InputError.
    """
    if path is None:
        return _read_standard_library(max_bytes)
    if path.is_dir():
        return _read_folder(path, max_bytes)
    if not path.exists():
        raise InputError(f"there is no file or folder '{path}'.")
    try:
        content = _read(path, max_bytes)
        size = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"cannot read '{path}': {error.strerror}. Check its type and permissions."
        ) from error
    if not content:
        raise InputError(f"'{path}' is empty. Give a file with text in it.")
    if not _is_text(content, whole=len(content) == size):
        raise InputError(
            f"'{path}' is not text. {WHAT_TEXT_IS} Examples to classify are given as .npz, .csv or .tsv."
        )
    if len(content) == size:
        return Texts((content,), ())
    return Texts((content,), (f"Only the first {max_bytes / 1e6:.3g} of {size / 1e6:.3g} MB are used.",))


def _read_standard_library(max_bytes: int) -> Texts:
    root = Path(sysconfig.get_path("stdlib"))
    files = [file for file in _files_below(root, without=NOT_SOURCES) if file.suffix == ".py"]
    texts, _, _ = _read_in_order(root, files, max_bytes)
    if not texts:
        raise InputError(
            f"the sources of Python's standard library are not in '{root}'. "
            "Give a file or folder of your own."
        )
    return Texts(texts, ())


def _read_folder(root: Path, max_bytes: int) -> Texts:
    files = _files_below(root)
    texts, skipped, num_seen = _read_in_order(root, files, max_bytes)
    counts = [f"{count} {why}" for why, count in sorted(skipped.items())]
    if not texts:
        found = ", ".join(counts) or "there are no files, hidden ones apart"
        raise InputError(f"the folder '{root}' holds no text: {found}. {WHAT_TEXT_IS}")
    notices = []
    if skipped:
        notices.append(f"Skipped of {num_seen} files: {', '.join(counts)}.")
    if num_seen < len(files):
        notices.append(
            f"Only {max_bytes / 1e6:.3g} MB are used, from {num_seen} of {len(files)} files "
            "(the same random choice every time)."
        )
    return Texts(texts, tuple(notices))


def _files_below(root: Path, *, without: frozenset[str] = frozenset()) -> list[Path]:
    found: list[Path] = []
    unlisted: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=unlisted.append):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in without]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    # A folder that cannot be listed counts as one unreadable file.
    return found + [Path(error.filename) for error in unlisted]


def _read_in_order(
    root: Path, files: list[Path], max_bytes: int
) -> tuple[tuple[bytes, ...], Counter[str], int]:
    """Contents, reasons for skipping with their counts, and how many files were looked at."""
    # A dictionary is an ordered set: a copy of a file must not be in two splits.
    contents: dict[bytes, None] = {}
    skipped: Counter[str] = Counter()
    left, num_seen = max_bytes, 0
    for path in sorted(files, key=lambda file: _rank(file.relative_to(root))):
        if left <= 0:
            break
        num_seen += 1
        try:
            content = _read(path, left)
            whole = len(content) == path.stat().st_size
        except OSError:
            skipped["unreadable"] += 1
            continue
        if not content:
            skipped["empty"] += 1
        elif not _is_text(content, whole=whole):
            skipped["not text"] += 1
        elif content in contents:
            skipped["equal to another"] += 1
        else:
            contents[content] = None
            left -= len(content)
    return tuple(contents), skipped, num_seen


def _rank(relative: Path) -> bytes:
    return hashlib.sha256(os.fsencode(relative.as_posix())).digest()


def _read(path: Path, limit: int) -> bytes:
    # A pipe or a device would block, or never end.
    if not S_ISREG(path.stat().st_mode):
        raise OSError(0, "not a regular file")
    with path.open("rb") as file:
        return file.read(limit)


def _is_text(content: bytes, *, whole: bool) -> bool:
    if b"\0" in content:
        return False
    try:
        # Where the content was cut, it may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError:
        return False
    return True
