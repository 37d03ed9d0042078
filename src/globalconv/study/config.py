"""The options of a study in a TOML file, as ``globalconv compare --config FILE`` reads it."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.host.atomic_files import write_text


def read_toml(path: Path) -> dict[str, Any]:
    """The keys and values of the file. Raises InputError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--config {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # of TOML, and of UTF-8
        raise InputError(f"--config {path} is not TOML: {error}.") from error


def write_toml(path: Path, options: Mapping[str, Any]) -> None:
    """Write ``options``, atomically. Raises InputError where they or the file cannot be written."""
    text = to_toml(options)
    if text is None:
        raise InputError(
            f"--save-config {path}: a file's name is not UTF-8, which TOML cannot hold. Rename the file."
        )
    if not path.parent.is_dir():
        raise InputError(f"--save-config {path}: there is no folder {path.parent}. Make it first.")
    write_text(path, text, option="--save-config")


def to_toml(options: Mapping[str, Any]) -> str | None:
    """A line for each option: strings, numbers, booleans, and lists of them. None where a string is not Unicode."""
    text = "".join(f"{name} = {_value(value)}\n" for name, value in options.items())
    return text if text.isascii() or text.encode(errors="ignore").decode() == text else None


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # a string of JSON is one of TOML, except for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return repr(value)
