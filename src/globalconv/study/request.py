"""What a study can be asked for, as a command line, a TOML file or a caller says it: a request and a directory."""

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from globalconv.errors import InputError, printable, unknown_name
from globalconv.host.atomic_files import write_text
from globalconv.options import command_line, duration_option, parse_duration
from globalconv.registry.spelling import split_outside_brackets
from globalconv.study.spec import StudyRequest

KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list of names",
}
"""What an option takes, by the name of pydantic's error."""


OPTIONS = (*(name for name in StudyRequest.model_fields if name != "budget_seconds"), "budget", "out")
"""What a configuration file may hold."""


def study_asked_for(options: Mapping[str, Any]) -> tuple[StudyRequest, Path]:
    """The request, and the directory of its study: ``out``, or one of its own for every request.

    ``options``: OPTIONS by name, and ``config``, a TOML file of OPTIONS, which the others override. Raises InputError
    for a name or a value that does not exist.
    """
    asked = dict(options)
    if "config" in asked:
        asked = _read_config(Path(asked.pop("config"))) | asked
    out = asked.pop("out", None)
    request = request_of(asked)
    return request, default_directory(request) if out is None else Path(out)


def write_config(path: Path, request: StudyRequest, directory: Path) -> None:
    """Write the options of ``request`` as a file that ``config`` may name. Raises InputError."""
    out = {} if directory == default_directory(request) else {"out": str(directory)}
    write_toml(path, options_of(request) | out)


def request_of(options: Mapping[str, Any]) -> StudyRequest:
    """The request that ``options`` make: names in a list, or with commas between them; ``budget`` as "10m" or seconds.

    Raises InputError for a value that an option cannot have.
    """
    asked = {name: _plain(value) for name, value in options.items()}
    if isinstance(asked.get("tasks"), str):
        asked["tasks"] = (asked["tasks"],)
    if isinstance(asked.get("arms"), str):
        asked["arms"] = _names(asked["arms"])
    if "budget" in asked:
        asked["budget_seconds"] = parse_duration(str(asked.pop("budget")))
    try:
        return StudyRequest.model_validate(asked, strict=True)
    except ValidationError as error:
        raise _refusal(error) from error


def options_of(request: StudyRequest) -> dict[str, Any]:
    """The options that make ``request`` again; what is at its default is left out."""
    options = request.model_dump(exclude_defaults=True)
    if "budget_seconds" in options:
        seconds = options.pop("budget_seconds")
        typed = duration_option(seconds)
        options["budget"] = typed if parse_duration(typed) == seconds else seconds
    return options


def command_of(request: StudyRequest, directory: Path) -> str:
    """The command that carries out ``request`` in ``directory``."""
    options = options_of(request) | {"out": str(directory)}
    tasks, sweep = options.pop("tasks", ()), options.pop("sweep", None)
    words = ["globalconv", "compare"]
    if sweep is not None:
        words.append("--sweep" if sweep else "--no-sweep")
    for name, value in options.items():
        words += [_flag(name), ",".join(value) if isinstance(value, tuple) else str(value)]
    return command_line([*words, *(["--"] if any(task.startswith("-") for task in tasks) else []), *tasks])


def default_directory(request: StudyRequest) -> Path:
    """A directory for every study asked for, the same one when it is asked for again."""
    asked = request.model_dump(mode="json", exclude={"workers"})
    canonical = json.dumps(asked, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    names = "-".join(Path(task).stem or "data" for task in request.tasks) or "default"
    names = "".join(letter if letter == printable(letter) else "_" for letter in names[:60])
    return Path("globalconv-studies") / f"{names}-{digest}"


def _read_config(path: Path) -> dict[str, Any]:
    options = read_toml(path)
    for name in options:
        if name not in OPTIONS:
            raise unknown_name(f"option in {path}:", name, OPTIONS)
    try:
        request_of({name: value for name, value in options.items() if name != "out"})
        if not isinstance(options.get("out", ""), str):
            raise InputError("--out: give a text.")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _names(arms: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in split_outside_brackets(arms, ","))
    if not all(names):
        raise InputError(f"--arms '{arms}': name the arms with commas between them: attention,global_conv.")
    return names


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _refusal(error: ValidationError) -> InputError:
    """What is wrong with the first value, in a line."""
    first = error.errors()[0]
    field = str(first["loc"][0])
    option, given, kind = _flag(field), first["input"], first["type"]
    if kind == "literal_error" and isinstance(given, str):
        choices = get_args(StudyRequest.model_fields[field].annotation)
        if type(None) in choices:  # an option that may be left out
            choices = get_args(choices[0])
        return unknown_name(option, given, choices)
    if kind in ("less_than_equal", "greater_than_equal"):
        (bound,) = first.get("ctx", {}).values()
        side = "most" if kind == "less_than_equal" else "least"
        return InputError(f"{option} {given}: at {side} {bound:,}.")
    needed = KINDS.get(kind)
    return InputError(
        f"{option} {given!r}: give {needed}." if needed else f"{option} {given}: {first['msg']}."
    )


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
