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
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_bytes(path: Path, content: bytes, *, option: str = "--out") -> None:
    """Write ``content`` beside ``path``, then rename it to ``path``.

    A reader sees the old file or the new one, never half of one. A full disk or a directory that
    cannot be written raises InputError, which names ``option``, where the path came from; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    with obstacles_explained(path, option=option):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str, *, option: str = "--out") -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode(), option=option)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically. NaN and infinity are refused: JSON has no words for them."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def make_directory(path: Path) -> None:
    """Make ``path`` and its parents. Raises InputError where that cannot be done."""
    with obstacles_explained(path):
        path.mkdir(parents=True, exist_ok=True)


def sweep_up(path: Path) -> None:
    """Remove what killed processes left half-written in ``path`` and below.

    For who alone writes there: what another process is writing now looks the same.
    """
    with obstacles_explained(path):
        for leftover in path.rglob(f".*.*{UNFINISHED}"):
            if leftover.name.removesuffix(UNFINISHED).rpartition(".")[2].isdecimal():
                leftover.unlink(missing_ok=True)


@contextmanager
def obstacles_explained(path: Path, *, option: str = "--out") -> Iterator[None]:
    """Have what the system says of writing to ``path`` raised as InputError, with what mends it."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"{path} cannot be made: a file is in the way. Name another {option}.") from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} cannot be written: a directory is in the way. Move it, or name another {option}."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            what = (
                "a file may not grow so large (ulimit -f)"
                if error.errno == errno.EFBIG
                else "the disk is full"
            )
            raise InputError(
                f"{what}: {path} could not be written. Free some space and run the same "
                "command again; finished runs are kept."
            ) from error
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}. Name another {option}."
        ) from error
