"""Find the user's text files and read at most a given number of bytes."""

import hashlib
import os
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import InputError
from globalconv.tasks.files import START, WHAT_TEXT_IS, check_kept, flaw_of_text, opened

NOT_SOURCES = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data"}
)
"""Folders of the standard library that are skipped: installed packages, tests, tables."""
MOST_FILES = 150_000
"""A folder with more files is probably a whole disk, and listing it takes minutes."""


@dataclass(frozen=True)
class Texts:
    """The contents of text files in a fixed order, and notices about what was left out."""

    contents: tuple[bytes, ...]
    notices: tuple[str, ...]


def read_texts(path: Path | None, *, max_bytes: int) -> Texts:
    """At most ``max_bytes`` bytes of the file or folder ``path``; None: Python's standard library.

    A folder's files are found recursively, except hidden ones (.git and the like), and read in the order
    of a hash of their relative paths, the same on every machine. Files that are not text, empty,
    unreadable or equal to another are skipped and counted in the notices. Raises InputError.
    """
    if path is None:
        return _read_standard_library(max_bytes)
    if path.is_dir():
        return _read_folder(path, max_bytes)
    content, size = _read(path, max_bytes)
    if flaw := flaw_of_text(content, whole=len(content) == size):
        raise InputError(
            f"'{path}' is not text: {flaw}. {WHAT_TEXT_IS} For classification, give an .npz, .csv or .tsv."
        )
    if len(content) == size:
        return Texts((content,), ())
    return Texts((content,), (f"Only the first {max_bytes / 1e6:.3g} of {size / 1e6:.3g} MB are used.",))


def _read_standard_library(max_bytes: int) -> Texts:
    root = Path(sysconfig.get_path("stdlib"))
    files = [file for file in files_below(root, without=NOT_SOURCES) if file.suffix == ".py"]
    texts, _, _ = _read_in_order(root, files, max_bytes)
    if not texts:
        raise InputError(
            f"the sources of Python's standard library are not in '{root}'. Give your own file or folder."
        )
    return Texts(texts, ())


def _read_folder(root: Path, max_bytes: int) -> Texts:
    files = files_below(root)
    texts, skipped, num_seen = _read_in_order(root, files, max_bytes)
    counts = [f"{count} {why}" for why, count in sorted(skipped.items())]
    if not texts:
        found = ", ".join(counts) or "it has no files, except hidden ones"
        raise InputError(f"the folder '{root}' holds no text: {found}. {WHAT_TEXT_IS}")
    notices = []
    if skipped:
        notices.append(f"Skipped files (of {num_seen}): {', '.join(counts)}.")
    if num_seen < len(files):
        notices.append(
            f"Only {max_bytes / 1e6:.3g} MB are used, from {num_seen} of {len(files)} files "
            "(the same random choice every time)."
        )
    return Texts(texts, tuple(notices))


def files_below(root: Path, *, without: frozenset[str] = frozenset()) -> list[Path]:
    """All files below ``root``, except hidden ones and those in folders named in ``without``. Links to folders are not
    followed, and a folder that cannot be listed counts as one file. Raises InputError for more than MOST_FILES."""
    check_kept(root)
    found: list[Path] = []
    unlisted: list[OSError] = []
    num_seen = 0
    for folder, subfolders, names in os.walk(root, onerror=unlisted.append):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name not in without]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
        num_seen += len(subfolders) + len(names)
        if num_seen > MOST_FILES:
            raise InputError(
                f"there are more than {MOST_FILES} files and folders below '{root}'. Give one of its subfolders."
            )
    return found + [Path(error.filename) for error in unlisted]


def _read_in_order(
    root: Path, files: list[Path], max_bytes: int
) -> tuple[tuple[bytes, ...], Counter[str], int]:
    """The contents, the number of skipped files by reason, and the number of files examined."""
    # A dictionary is used as an ordered set, so that copies of a file cannot be in two splits.
    contents: dict[bytes, None] = {}
    skipped: Counter[str] = Counter()
    left, num_seen = max_bytes, 0
    for path in sorted(files, key=lambda file: _rank(file.relative_to(root))):
        if left <= 0:
            break
        num_seen += 1
        try:
            if path.is_file() and path.stat().st_size == 0:
                skipped["empty"] += 1
                continue
            content, size = _read(path, left)
        except (OSError, InputError):
            skipped["unreadable"] += 1
            continue
        if flaw_of_text(content, whole=len(content) == size):
            skipped["not text"] += 1
        elif content in contents:
            skipped["equal to another"] += 1
        else:
            contents[content] = None
            left -= len(content)
    return tuple(contents), skipped, num_seen


def _rank(relative: Path) -> bytes:
    return hashlib.sha256(os.fsencode(relative.as_posix())).digest()


def _read(path: Path, limit: int) -> tuple[bytes, int]:
    """The first ``limit`` bytes of ``path``, fewer if they are not text, and the size of the file."""
    with opened(path) as file:
        content = file.read(min(START, limit))
        if flaw_of_text(content, whole=False) is None:
            content += file.read(limit - len(content))
        return content, os.fstat(file.fileno()).st_size
