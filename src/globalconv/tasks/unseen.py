"""New rows for a classifier: read like its training file and checked against it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.arrays import Role, check_values, labelled
from globalconv.tasks.classification import Classification
from globalconv.tasks.csv_file import read_new_csv
from globalconv.tasks.labelled import Labelled, Layout, first_few
from globalconv.tasks.npz_file import read_new_npz
from globalconv.tasks.ragged import to_length
from globalconv.tasks.table import SUFFIXES, Table

GIVEN = Path("the arrays given")
"""Used in place of a file's name for arrays in memory."""


def read_unseen(task: Classification, path: Path) -> Labelled:
    """The rows of an .npz, .csv or .tsv, padded to the task's length. Raises InputError if they do not fit ``task``."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{path.name}' is not a table. Its name must end in one of {', '.join(SUFFIXES)}.")
    if suffix == ".npz":
        return _fitting(task, read_new_npz(path, layout=_layout(task)), path)
    if not isinstance(task, Table) or task.options["label"] is None:
        raise InputError(
            f"'{path.name}': this run was not trained on a .csv or .tsv. Give an .npz with {_shape(task)}."
        )
    label, groups = task.options["label"], task.options["groups"]
    assert isinstance(label, str)
    assert groups is None or isinstance(groups, str)
    data = read_new_csv(path, label, groups, task.columns, ragged=task.positions.ragged)
    return _fitting(task, data, path)


def unseen(task: Classification, values: Any, lengths: Any = None) -> Labelled:
    """``read_unseen`` of arrays: ``values`` (n, length) or (n, length, channels), in the training file's layout."""
    try:
        arrays: dict[Role, NDArray[Any]] = {"X": np.asarray(values)}
        if lengths is not None:
            arrays["lengths"] = np.asarray(lengths)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"X and lengths must be arrays ({str(error).splitlines()[0]}): pad the sequences to one length and "
            "give their "
            "lengths."
        ) from error
    names: Mapping[Role, str] = {"X": "X", "lengths": "lengths"}
    check_values(arrays["X"], "X", GIVEN)
    return _fitting(task, labelled(arrays, names, _layout(task), GIVEN), GIVEN)


def class_numbers(task: Classification, data: Labelled, path: Path) -> NDArray[np.int64] | None:
    """The class numbers of ``data`` (n,) in the task; None if it has no labels. Raises InputError for an unknown
    class."""
    if not len(data.labels):
        return None
    names, places = np.unique(data.labels, return_inverse=True)
    numbers = {name: number for number, name in enumerate(task.classes)}
    unknown = [str(name) for name in names if str(name) not in numbers]
    if unknown:
        raise InputError(
            f"'{path.name}' has classes that were not trained on: {first_few(map(repr, unknown))}. Known classes: "
            f"{first_few(map(repr, task.classes))}. Use the same spelling, or remove the labels."
        )
    return np.array([numbers[str(name)] for name in names], np.int64)[places]


def _layout(task: Classification) -> Layout:
    return task.layout if isinstance(task, Table) else "channels_last"


def _fitting(task: Classification, data: Labelled, path: Path) -> Labelled:
    """``data`` padded to the task's length, with lengths if the task has them. Raises InputError."""
    trained = task.positions
    length, lengths, channels = trained.length, data.all_lengths, data.values.shape[2]
    if channels != trained.channels:
        raise InputError(
            f"the sequences in '{path.name}' have {channels} channel(s), but the training sequences "
            f"{trained.channels}. "
            f"Give the same channels in the same order, as {_shape(task)}."
        )
    fits = lengths <= length if trained.ragged else lengths == length
    if not fits.all():
        rows = np.flatnonzero(~fits)
        raise InputError(
            f"the model takes sequences of {'up to ' * trained.ragged}{length} positions, but in '{path.name}' "
            f"{len(rows)} have other lengths ({first_few(lengths[rows])}): rows {first_few(rows)} (counted from "
            "0). Give "
            f"{'at most ' * trained.ragged}{length}, as {_shape(task)}."
        )
    return replace(data, values=to_length(data.values, length), lengths=lengths if trained.ragged else None)


def _shape(task: Classification) -> str:
    """'X of shape (n, 64, 2)'."""
    length, channels = task.positions.length, task.positions.channels
    middle = (length, channels) if _layout(task) == "channels_last" else (channels, length)
    return f"X of shape (n, {middle[0]}, {middle[1]})"
