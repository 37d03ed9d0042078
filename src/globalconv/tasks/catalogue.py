"""Tasks by name, by the path of the user's data, or by the specification of a run."""

import inspect
import json
import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from pathlib import Path

from globalconv.errors import InputError, unknown_name
from globalconv.tasks.base import Option, Task
from globalconv.tasks.digits import Digits
from globalconv.tasks.fashion import Fashion
from globalconv.tasks.files import user_path
from globalconv.tasks.gettext_catalogues import SUFFIXES as CATALOGUES
from globalconv.tasks.number_words import NumberWords
from globalconv.tasks.recall import Recall
from globalconv.tasks.rewriting import Copy, Reverse, Sort
from globalconv.tasks.table import SUFFIXES, Table
from globalconv.tasks.text import Text
from globalconv.tasks.translation import Translation

KINDS: tuple[type[Task], ...] = (
    *(Digits, Text, Recall, Fashion, Table),
    *(Copy, Reverse, Sort, NumberWords, Translation),
)
TASKS: dict[str, type[Task]] = {task.kind: task for task in KINDS}
NAMES = ("digits", "text", "recall", "fashion", "copy", "reverse", "sort", "number_words", "translation")
"""The tasks that need no user data."""
OFFERED = (
    *("length", "vocabulary", "label", "patch", "layout", "groups", "validation", "test", "metric"),
    *("data", "beams"),
)
"""The task options that users may set; a task takes those that its constructor has."""
MOST_NEIGHBOURS = 5_000
"""The most names in a folder that a misspelt name is compared with: each takes a tenth of a millisecond."""


def load_task(
    name_or_path: str,
    *,
    length: int | None = None,
    vocabulary: int | None = None,
    label: str | None = None,
    patch: int | None = None,
    layout: str | None = None,
    groups: str | None = None,
    validation: str | None = None,
    test: str | None = None,
    metric: str | None = None,
    data: str | None = None,
    beams: int | None = None,
) -> Task:
    """The task called ``name_or_path``, or the task of the user's file or folder at that path.

    Names: digits, text, recall, fashion, copy, reverse, sort, number_words, translation (write ./text for
    a file of that name). A path that ends in .npz, .csv or .tsv is a `Table`, any other a `Text`, except a .po or
    .mo: gettext catalogues are parallel text, which translation takes as its ``data``.
    ``length`` is for text, recall, copy, reverse, sort and translation, ``vocabulary`` for recall and translation,
    ``label`` for .csv and .tsv, ``layout`` for .npz, ``patch``, ``groups`` and ``metric`` for these three (see
    `Table`), ``validation`` and ``test`` for them and for a text, ``data`` for fashion and translation, ``beams`` for
    translation; None leaves the task's own default. Raises InputError for unknown names, for options that the task
    cannot use, and for unusable data.
    """
    asked = (length, vocabulary, label, patch, layout, groups, validation, test, metric, data, beams)
    kind, options = resolve_task(name_or_path, dict(zip(OFFERED, asked, strict=True)))
    return _make(kind, options)


def resolve_task(name_or_path: str, asked: Mapping[str, Option]) -> tuple[str, dict[str, Option]]:
    """The kind and the options of the task that ``load_task`` builds; no data is read yet.

    ``asked``: options among OFFERED; None: the task's default.
    """
    options: dict[str, Option] = {name: value for name, value in asked.items() if value is not None}
    kind = name_or_path
    if kind not in NAMES:
        path = user_path(name_or_path)
        if not name_or_path or not path.exists():
            raise _not_found(name_or_path)
        if path.suffix.lower() in CATALOGUES and not path.is_dir():
            raise InputError(
                f"'{name_or_path}' is a gettext catalogue, which is parallel text: use globalconv compare translation "
                f"--data {shlex.quote(name_or_path)}. To model its bytes instead, copy it to a .txt."
            )
        kind = "table" if path.suffix.lower() in SUFFIXES and not path.is_dir() else "text"
    _check_options(kind, options, f"task '{name_or_path}'")
    if kind != name_or_path:
        options["path"] = name_or_path
    return kind, options


def build_task(kind: str, options: Mapping[str, Option]) -> Task:
    """The task of this ``kind`` with these ``options``; built once per process. Raises InputError."""
    if kind not in TASKS:
        raise unknown_name("kind of task", kind, TASKS)
    _check_options(kind, options, f"kind of task '{kind}'")
    return _build(kind, json.dumps(dict(options), sort_keys=True))


@lru_cache(maxsize=8)
def _build(kind: str, canonical_options: str) -> Task:
    return _make(kind, json.loads(canonical_options))


def _make(kind: str, options: Mapping[str, Option]) -> Task:
    """The task. If a .tsv without a label is no table, the error also says how to read it as parallel text."""
    try:
        return TASKS[kind](**options)
    except InputError as error:
        path = str(options.get("path"))
        if kind != Table.kind or options.get("label") is not None or not path.lower().endswith(".tsv"):
            raise
        raise InputError(
            f"{error} If its lines are source, tab, target, use globalconv compare translation "
            f"--data {shlex.quote(path)}."
        ) from error


def _check_options(kind: str, options: Mapping[str, Option], shown: str) -> None:
    usable = list(inspect.signature(TASKS[kind]).parameters)
    for name in options:
        if name not in usable:
            close = get_close_matches(name, usable, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]}? " if close else "Leave it out. "
            if (kind, name) == ("text", "data"):
                hint = "Give your file or folder instead of the name text. "
            raise InputError(f"the {shown} has no option {name}. {hint}{_what_it_takes(usable)}")


def _what_it_takes(usable: list[str]) -> str:
    """The options that ``load_task`` takes."""
    offered = [name for name in OFFERED if name in usable]
    return f"It takes {' and '.join(filter(None, [', '.join(offered[:-1]), *offered[-1:]])) or 'none'}."


def _joined_by_commas(name_or_path: str, parts: list[str], *, are_two_files: bool) -> InputError:
    message = f"'{name_or_path}' is not a task. Separate tasks by spaces: {shlex.join(parts)}."
    if are_two_files:
        message += (
            " If the two files are translations line by line, use globalconv compare translation --data "
            f"{shlex.quote(name_or_path)}."
        )
    return InputError(message)


def _not_found(name_or_path: str) -> InputError:
    path = Path(name_or_path).expanduser()
    if name_or_path and path.is_symlink():
        return InputError(f"'{name_or_path}' is a broken link.")
    parts = name_or_path.split(",")
    files = [part for part in parts if user_path(part).is_file()]
    if len(parts) > 1 and all(part in files or part in NAMES for part in parts):
        return _joined_by_commas(name_or_path, parts, are_two_files=len(parts) == len(files) == 2)
    if path.name == name_or_path and not path.suffix:
        return InputError(
            f"{unknown_name('task', name_or_path, NAMES)} Your own file or folder is a task too, but "
            f"there is none called '{name_or_path}' in {Path.cwd()}."
        )
    if not path.parent.is_dir():
        return InputError(f"there is no folder '{path.parent}' for '{name_or_path}'.")
    try:
        neighbours = [entry.name for entry in islice(path.parent.iterdir(), MOST_NEIGHBOURS)]
    except OSError:
        neighbours = []
    close = get_close_matches(path.name, neighbours, n=1, cutoff=0.5)
    hint = f" Did you mean '{path.parent / close[0]}'?" if close else ""
    return InputError(f"there is no file or folder '{name_or_path}'.{hint}")
