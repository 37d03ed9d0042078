"""The user's own sequences, to be classified."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError, printable
from globalconv.tasks.classification import Classification, Examples
from globalconv.tasks.csv_file import read_csv
from globalconv.tasks.files import user_path
from globalconv.tasks.labelled import Labelled, first_few
from globalconv.tasks.npz_file import read_npz
from globalconv.tasks.splits import three_ways

SUFFIXES = (".npz", ".csv", ".tsv")
MIN_EXAMPLES = 3
"""A class needs as many to be in all three splits."""
UNEVEN_SCALES = 1000.0


class Table(Classification):
    """Sequences with one class each, from a file.

    ``path``: an .npz archive of X (n, length) or (n, length, channels) and y (n,), which is read without
    unpickling; or a .csv or .tsv file with a header, one row for each sequence, whose column ``label``
    is the class and whose other columns are the sequence. Split 60/20/20 %, stratified. The values are
    standardised by the training examples, each channel over all its positions together, so that the
    shape of a sequence stays. Raises InputError, which names the place and the mending.
    """

    kind = "table"

    def __init__(self, path: str, label: str | None = None) -> None:
        where = user_path(path)
        data = _read(where, label)
        if data.values.shape[1] < 2:
            raise InputError(
                f"the sequences in '{where.name}' have one position only: at least 2 are needed."
            )
        names, classes = np.unique(data.labels, return_inverse=True)
        notices = _check_classes(where, names, classes)
        train, validation, test = three_ways(classes)
        notices += _value_notices(data, train)
        if len(test) < 1 / self.metric.margin:
            notices.append(
                f"The test split has {len(test)} examples, so each is {1 / len(test):.1%} of the accuracy."
            )
        examples = Examples(data.values, classes)
        super().__init__(
            printable(where.name),
            {
                "train": examples.take(train),
                "validation": examples.take(validation),
                "test": examples.take(test),
            },
            num_classes=len(names),
            options={"path": str(where), "label": label},
            source=printable(f"'{where}'"),
            notices=tuple(notices),
        )
        self.classes = tuple(str(name) for name in names)


def _read(path: Path, label: str | None) -> Labelled:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{path.name}' is no table: its name must end in one of {', '.join(SUFFIXES)}.")
    if suffix == ".npz" and label is not None:
        raise InputError(f"'{path.name}' holds the classes in its array y: leave out the label '{label}'.")
    return read_npz(path) if suffix == ".npz" else read_csv(path, label)


def _check_classes(path: Path, names: NDArray[np.str_], classes: NDArray[np.int64]) -> list[str]:
    """Notices about rare classes. Raises InputError where fewer than two can be scored."""
    sizes = np.bincount(classes)
    if len(names) < 2:
        raise InputError(
            f"all examples in '{path.name}' are of class '{names[0]}': at least two classes are needed."
        )
    rare = [f"'{name}' ({size})" for name, size in zip(names, sizes, strict=True) if size < MIN_EXAMPLES]
    if len(names) - len(rare) < 2:
        raise InputError(
            f"'{path.name}' has {len(names)} classes for {len(classes)} examples, and fewer than two of "
            f"them have the {MIN_EXAMPLES} examples that the three splits need: {first_few(rare)}. "
            "Are these the classes? If so, give more examples of each, or merge classes."
        )
    if not rare:
        return []
    return [
        f"Classes with fewer than {MIN_EXAMPLES} examples: {first_few(rare)}. A class of one is trained "
        "on but never scored. Give more examples, merge such classes, or drop them."
    ]


def _value_notices(data: Labelled, train: NDArray[np.int64]) -> list[str]:
    values = data.values[train].astype(np.float64)
    spread = values.max(axis=0) - values.min(axis=0)
    if not spread.any() and values.min() == values.max():
        raise InputError(
            "all values of all training examples are the same number: there is nothing to learn."
        )
    notices = []
    constant = [name for name, wide in zip(data.columns, spread.any(axis=1), strict=True) if not wide]
    if constant:
        notices.append(
            f"Constant over all training examples, and so without information: column {first_few(constant)}."
        )
    for channel in spread.T:
        varying = channel[channel > 0]
        if len(varying) and varying.max() > UNEVEN_SCALES * np.median(varying):
            notices.append(
                "Some columns vary a thousand times more than the others, which they drown, as a sequence is "
                "standardised as a whole. If the columns are not values of one quantity, scale them first."
            )
            break
    return notices
