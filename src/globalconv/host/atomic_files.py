"""Atomic files: written under a temporary name, then renamed."""

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
    """Write ``content`` to a temporary file beside ``path``, then rename it to ``path``.

    A reader sees the old file or the new one, never a partial one. A full disk or a read-only directory raises
    InputError, and the old file is kept. ``option`` is the option that gave the path, for the message.
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
    """Write ``value`` as JSON, atomically. NaN and infinity are refused: JSON cannot express them."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def make_directory(path: Path) -> None:
    """Make ``path`` and its parents. Raises InputError if that fails."""
    with obstacles_explained(path):
        path.mkdir(parents=True, exist_ok=True)


def sweep_up(path: Path) -> None:
    """Remove the temporary files that killed processes left in ``path`` and below.

    Only call it if no other process writes there: its unfinished files look the same.
    """
    with obstacles_explained(path):
        for leftover in path.rglob(f".*.*{UNFINISHED}"):
            if leftover.name.removesuffix(UNFINISHED).rpartition(".")[2].isdecimal():
                leftover.unlink(missing_ok=True)


@contextmanager
def obstacles_explained(path: Path, *, option: str = "--out") -> Iterator[None]:
    """Turn errors of the file system at ``path`` into an InputError that names the fix."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{path} cannot be created because a file of that name exists. Use another {option}."
        ) from error
    except IsADirectoryError as error:
        raise InputError(
            f"{path} cannot be written because it is a directory. Move it, or use another {option}."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            what = (
                "the file size limit is reached (ulimit -f)"
                if error.errno == errno.EFBIG
                else "the disk is full"
            )
            raise InputError(
                f"{what}: {path} could not be written. Free some space and repeat the "
                "command. Finished runs are kept."
            ) from error
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}. Use another {option}."
        ) from error
