"""Classification of the user's own sequences."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError, printable, unknown_name
from globalconv.tasks.classification import METRICS, Classification, Examples, MetricName
from globalconv.tasks.csv_file import read_csv
from globalconv.tasks.files import user_path
from globalconv.tasks.labelled import Labelled, Layout, Part, first_few
from globalconv.tasks.npz_file import read_npz
from globalconv.tasks.ragged import real_positions
from globalconv.tasks.user_splits import class_names, merged, repeated, split_up

SUFFIXES = (".npz", ".csv", ".tsv")
MIN_EXAMPLES = 3
"""A class needs this many examples to be in all three splits."""
UNEVEN_SCALES = 1000.0
IMBALANCED = 0.7
"""If one class has a larger share of the examples, accuracy says little about the others."""
Splits = Mapping[Part, tuple[Labelled, NDArray[np.int64]]]


class Table(Classification):
    """Sequences with one class each, from a file.

    ``path``: an .npz archive, which is read without unpickling; or a .csv or .tsv file with a header, one row for each
    sequence, whose column ``label`` is the class and whose other columns are the sequence (see ``read_npz`` and
    ``read_csv``). Sequences may have different lengths. ``layout``: "channels_last", (n, length, channels), or
    "channels_first"; None: ``time_axis`` decides and adds a notice. ``groups``: the array or column of groups, each of
    which is kept in one split; None: the array "groups", if there is one.

    The split is 60/20/20 %, stratified; or that of X_train, X_validation and X_test; or that of the files
    ``validation`` and ``test``, which are read like ``path``. ``metric``: see METRICS.

    The values are standardised with the training examples, each channel over all its positions, so that the shape of
    a sequence is kept. Raises InputError, which names the place and the fix.
    """

    kind = "table"
    layout: Layout
    """Which axis of the training file's array was time."""
    columns: tuple[str, ...]
    """The training file's name of each position, including those that no sequence reaches."""

    def __init__(
        self,
        path: str,
        label: str | None = None,
        patch: int = 1,
        layout: Layout | None = None,
        groups: str | None = None,
        validation: str | None = None,
        test: str | None = None,
        metric: MetricName = "accuracy",
    ) -> None:
        if layout is not None and layout not in get_args(Layout):
            raise unknown_name("--layout", layout, get_args(Layout))
        if metric not in METRICS:
            raise unknown_name("--metric", metric, METRICS)
        where = user_path(path)
        own: dict[Part, str | None] = {"validation": validation, "test": test}
        files = {part: user_path(file) for part, file in own.items() if file is not None}
        main = _read(where, label, layout, groups)
        held_out = {part: _one_part(file, part, label, layout, groups) for part, file in files.items()}
        # With sequences of different lengths, one file may have more columns than another.
        columns = max((data.columns for data in (*main.values(), *held_out.values())), key=len)
        parts = merged(main, held_out)
        notices = [
            notice if part in ("all", "train") else f"The {part} split: {notice}"
            for part, data in parts.items()
            for notice in data.notices
        ]
        first = next(iter(parts.values()))
        if first.values.shape[1] < 2:
            raise InputError(
                f"the sequences in '{where.name}' have only one position. Give sequences of at least 2."
            )
        names, classes = class_names(parts)
        notices += _check_classes(where, names, classes)
        splits, remarks = split_up(parts, classes)
        _check_splits(splits, names, where)
        notices += remarks + repeated(splits) + _value_notices(splits["train"][0])
        notices += _imbalance(names, classes, metric)
        num_test = len(splits["test"][1])
        if num_test < 1 / METRICS[metric].margin:
            notices.append(
                f"The test split has {num_test} examples, so each counts {1 / num_test:.1%} of the accuracy."
            )
        self.layout = first.layout
        self.columns = columns
        super().__init__(
            printable(where.name),
            {part: _examples(data, numbers) for part, (data, numbers) in splits.items()},
            classes=[str(name) for name in names],
            options={
                "path": str(where),
                "label": label,
                "patch": patch,
                "layout": layout,
                "groups": groups,
                **{part: str(files[part]) if part in files else None for part in own},
                "metric": metric,
            },
            source=printable(f"'{where}'"),
            notices=tuple(notices),
            metric=metric,
            patch=patch,
        )


def _read(path: Path, label: str | None, layout: Layout | None, groups: str | None) -> dict[Part, Labelled]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{path.name}' is not a table. Its name must end in one of {', '.join(SUFFIXES)}.")
    if suffix == ".npz" and label is not None:
        raise InputError(f"'{path.name}' holds the classes in its array y. Leave out --label {label}.")
    if suffix != ".npz" and layout is not None:
        raise InputError(
            f"--layout {layout}: a row of '{path.name}' has only one channel. Leave the option out."
        )
    if suffix == ".npz":
        return read_npz(path, layout=layout, groups=groups)
    return {"all": read_csv(path, label, groups)}


def _one_part(
    path: Path, part: Part, label: str | None, layout: Layout | None, groups: str | None
) -> Labelled:
    """The examples of a file that holds one split."""
    found = _read(path, label, layout, groups)
    if "all" not in found:
        raise InputError(
            f"--{part} {path}: it holds splits ({', '.join(found)}). Give a file with X and y only."
        )
    return found["all"]


def _examples(data: Labelled, classes: NDArray[np.int64]) -> Examples:
    groups = None if data.groups is None else np.unique(data.groups, return_inverse=True)[1].astype(np.int64)
    return Examples(data.values, classes, data.lengths, groups)


def _check_classes(
    path: Path, names: NDArray[np.generic], classes: Mapping[Part, NDArray[np.int64]]
) -> list[str]:
    """Notices about rare classes. Raises InputError if fewer than two can be scored."""
    everything = np.concatenate(list(classes.values()))
    sizes = np.bincount(everything, minlength=len(names))
    if len(names) < 2:
        raise InputError(
            f"all examples in '{path.name}' are of class '{names[0]}'. Give examples of at least two classes."
        )
    rare = [f"'{name}' ({size})" for name, size in zip(names, sizes, strict=True) if size < MIN_EXAMPLES]
    if "all" not in classes:  # the splits are given
        return []
    if len(names) - len(rare) < 2:
        raise InputError(
            f"'{path.name}' has {len(names)} classes for {len(everything)} examples, and fewer than two of "
            f"them have the {MIN_EXAMPLES} examples that the three splits need: {first_few(rare)}. "
            "If these are the classes, give more examples of each, or merge classes."
        )
    if not rare:
        return []
    return [
        f"Classes with fewer than {MIN_EXAMPLES} examples: {first_few(rare)}. A class of one example is "
        "trained on but never scored. Give more examples, merge such classes, or drop them."
    ]


def _check_splits(splits: Splits, names: NDArray[np.generic], path: Path) -> None:
    """Raise InputError if a split has examples of only one class."""
    for part, (data, classes) in splits.items():
        found = np.unique(classes)
        if len(found) < 2:
            what = f"only examples of class '{names[found[0]]}'" if len(found) else "no examples"
            cause = "whole groups" if data.groups is not None else "your splits"
            raise InputError(
                f"the {part} split of '{path.name}' has {what}, because of "
                f"{cause}. It needs at least two classes. Give examples of other classes (in other groups), or "
                "other splits."
            )


def _imbalance(
    names: NDArray[np.generic], classes: Mapping[Part, NDArray[np.int64]], metric: MetricName
) -> list[str]:
    sizes = np.bincount(np.concatenate(list(classes.values())))
    share = float(sizes.max() / sizes.sum())
    if share <= IMBALANCED or metric != "accuracy":
        return []
    return [
        f"{share:.0%} of the examples are of class '{names[sizes.argmax()]}', so always predicting it has an "
        f"accuracy of about {share:.2f}. --metric balanced_accuracy gives every class the same weight."
    ]


def _value_notices(train: Labelled) -> list[str]:
    length = train.values.shape[1]
    real = real_positions(train.all_lengths, length)[:, :, None]
    # Padding counts neither as a minimum nor as a maximum; a column without values in training is constant.
    values = train.values if train.values.dtype.kind == "f" else train.values.astype(np.float32)
    least = values.min(axis=0, where=real, initial=np.inf).astype(np.float64)
    most = values.max(axis=0, where=real, initial=-np.inf).astype(np.float64)
    with np.errstate(over="ignore"):
        spread = np.maximum(most - least, 0.0)
    if not spread.any() and least.min() == most.max():
        raise InputError(
            "all values of all training examples are equal, so there is nothing to learn. Give other data."
        )
    notices = []
    constant = [name for name, wide in zip(train.columns, spread.any(axis=1), strict=True) if not wide]
    if constant:
        notices.append(
            f"Constant over all training examples, so without information: column {first_few(constant)}."
        )
    for channel in spread.T:
        varying = channel[channel > 0]
        if len(varying) and varying.max() > UNEVEN_SCALES * np.median(varying):
            notices.append(
                "Some columns vary a thousand times more than others and dominate them, because a sequence is "
                "standardised as a whole. If the columns are different quantities, scale them first."
            )
            break
    return notices
