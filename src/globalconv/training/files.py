"""Files that are whole or not there: written beside and renamed."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from globalconv.errors import InputError

UNFINISHED = ".tmp"


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, then rename it to ``path``.

    A reader sees the old file or the new one, never half of one. A full disk or a directory that
    cannot be written raises InputError; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    with _obstacles_explained(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically. NaN and infinity are refused: JSON has no words for them."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def make_directory(path: Path) -> None:
    """Make ``path`` and its parents, and sweep up what a killed process left half-written in it.

    Raises InputError where that cannot be done.
    """
    with _obstacles_explained(path):
        path.mkdir(parents=True, exist_ok=True)
        for leftover in path.glob(f".*{UNFINISHED}"):
            leftover.unlink(missing_ok=True)


@contextmanager
def _obstacles_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{path} cannot be made: a file is in the way. Name another --out.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk is full: {path} could not be written. Free some space and run the same "
                "command again; finished runs are kept."
            ) from error
        raise InputError(f"{path} cannot be written: {error.strerror}. Name another --out.") from error
