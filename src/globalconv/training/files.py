"""Files that are whole or not there: JSON, text and safetensors, written beside and renamed."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from globalconv.errors import InputError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file in ``path``'s directory, then rename it to ``path``.

    A reader sees the old file or the new one, never half of one. A full disk or a directory that
    cannot be written raises InputError; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"the disk is full: {path} could not be written. Free some space and run the same "
                "command again; finished runs are kept."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{path.parent} cannot be written: {error.strerror}. Name another --out."
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomically(path, lambda temporary: _write_and_sync(temporary, text.encode()))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically. NaN and infinity are refused: JSON has no words for them."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _write_and_sync(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
