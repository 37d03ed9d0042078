"""The one place where a study's JSON is read: whole, known fields, in range. Errors name the file and the field."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from globalconv.errors import BrokenFile

Read = TypeVar("Read")

LARGEST = 2**26
"""Bytes; no file of a study comes near."""


def read_json(path: Path, kind: type[Read]) -> Read:
    """What the file holds, as a ``kind``: a pydantic model, or any type that pydantic knows. Raises BrokenFile.

    Nothing is converted: "12" is no number. NaN is refused wherever ``kind`` refuses it.
    """
    return _parsed(path, kind, _content(path))


def read_json_lines(path: Path, kind: type[Read]) -> list[Read]:
    """What each line of the file holds. Raises BrokenFile."""
    return [
        _parsed(path, kind, line, f"line {number}")
        for number, line in enumerate(_content(path).splitlines(), start=1)
    ]


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would never end
            raise BrokenFile(f"{path.name} is missing, or no file")
        if path.stat().st_size > LARGEST:
            raise BrokenFile(f"{path.name} is larger than any that is written here")
        return path.read_bytes()
    except OSError as error:
        raise BrokenFile(f"{path.name} cannot be read: {error.strerror or error}") from error


def _parsed(path: Path, kind: type[Read], content: bytes, *place: str) -> Read:
    checked = TypeAdapter(kind)
    try:
        return checked.validate_json(content, strict=True)
    except ValidationError as error:
        if b"\\ud" in content.lower():  # half a surrogate, for the name of a file that is not UTF-8
            with suppress(ValueError, RecursionError):
                return checked.validate_python(json.loads(content))
        raise BrokenFile(f"{path.name} cannot be read: {reason(error, *place)}") from error


def reason(error: ValidationError, *place: str) -> str:
    """The first thing that is wrong, in a line: the field, and what is asked of it."""
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    parts = [*place, ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")]
    return ": ".join(part for part in parts if part)
