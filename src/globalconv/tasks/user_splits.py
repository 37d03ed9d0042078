"""The three splits of the user's data: the user's own splits if given, the others held out from the training data."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.hold_out import MOST_HELD_OUT, HeldOut, held_out_share, hold_out, three_ways
from globalconv.tasks.labelled import Labelled, Part, first_few
from globalconv.tasks.ragged import equally_long

HELD_OUT_SPLITS: tuple[HeldOut, ...] = ("validation", "test")
SPLITS: tuple[Part, ...] = ("train", *HELD_OUT_SPLITS)
FEWEST_GROUPS = 3
HELD_OUT = 0.2
"""The share of the training examples that is held out for each split that the user did not give."""


def merged(main: Mapping[Part, Labelled], held_out: Mapping[Part, Labelled]) -> dict[Part, Labelled]:
    """The splits of the main file and of the files of single splits. Raises InputError if they do not fit together."""
    parts = dict(main)
    if held_out:
        if "all" not in parts:
            raise InputError(
                f"the file already holds splits ({', '.join(parts)}). Leave out {_options(held_out)}."
            )
        parts = {"train": parts["all"], **held_out}
        for part, data in held_out.items():
            for own, other in zip(parts["train"].columns, data.columns, strict=False):
                if own != other:
                    raise InputError(
                        f"the {part} file has the column '{other}' where the training file has '{own}'. Give both the "
                        "same columns in the same order."
                    )
    first = next(iter(parts.values()))
    for part, data in parts.items():
        if data.values.shape[2] != first.values.shape[2]:
            raise InputError(
                f"the {part} sequences have {data.values.shape[2]} channel(s), but the training sequences "
                f"{first.values.shape[2]}. Give both the same channels in the same order."
            )
        if data.lengths is None and first.lengths is None and data.values.shape[1] != first.values.shape[1]:
            raise InputError(
                f"the {part} sequences have {data.values.shape[1]} positions, but the training sequences "
                f"{first.values.shape[1]}. Cut or pad them to one length, with an array lengths if they differ."
            )
    return equally_long(parts)


def _options(parts: Mapping[Part, Labelled]) -> str:
    return " and ".join(f"--{part}" for part in parts)


def class_names(parts: Mapping[Part, Labelled]) -> tuple[NDArray[np.generic], dict[Part, NDArray[np.int64]]]:
    """The sorted names of all classes, and the class numbers of each split's examples.

    Raises InputError if a user's held-out split has a class that the training split lacks.
    """
    names, numbers = np.unique(np.concatenate([data.labels for data in parts.values()]), return_inverse=True)
    ends = np.cumsum([len(data.labels) for data in parts.values()])[:-1]
    classes = dict(zip(parts, np.split(numbers.astype(np.int64), ends), strict=True))
    for part, found in classes.items():
        unknown = np.setdiff1d(found, classes["all" if "all" in parts else "train"])
        if len(unknown):
            shown = first_few(f"'{names[c]}' ({np.sum(found == c)})" for c in unknown)
            raise InputError(
                f"the {part} examples have classes that the training ones lack: {shown}. Use the same spelling, add "
                "training examples of these classes, or drop them."
            )
    return names, classes


def split_up(
    parts: Mapping[Part, Labelled], classes: Mapping[Part, NDArray[np.int64]]
) -> tuple[dict[Part, tuple[Labelled, NDArray[np.int64]]], list[str]]:
    """Train, validation and test, each with its classes, and notices about how they were made.

    No group is in two splits. Raises InputError if there are too few groups.
    """
    groups = _group_numbers(parts)
    if "all" in parts:
        data, numbers = parts["all"], classes["all"]
        own = groups.get("all")
        if own is not None and (num := len(np.unique(own))) < FEWEST_GROUPS:
            raise InputError(
                f"the groups have {num} different value{'s' * (num > 1)}: at least {FEWEST_GROUPS} are needed, one for "
                "each split. Give more groups, name another column or array, or leave the groups out."
            )
        indices = dict(zip(SPLITS, three_ways(numbers, own), strict=True))
        notices = [_describe_groups(own, list(indices.values()))] if own is not None else []
        return {part: (data.take(i), numbers[i]) for part, i in indices.items()}, notices
    splits = {part: (data, classes[part]) for part, data in parts.items()}
    notices = []
    most = MOST_HELD_OUT["validation"]
    if "validation" in splits and len(splits["validation"][1]) > most:
        data, numbers = splits["validation"]
        _, used = hold_out(numbers, most / len(numbers))
        splits["validation"] = data.take(used), numbers[used]
        notices.append(
            f"{len(used)} of your {len(numbers)} validation examples are used, some of every class. They choose "
            "checkpoints and learning rates, for which more would only take time."
        )
    missing = [part for part in reversed(HELD_OUT_SPLITS) if part not in splits]
    for number, part in enumerate(missing):
        data, numbers = splits["train"]
        own, left = groups.get("train"), len(missing) - number
        if own is not None and len(np.unique(own)) <= left:
            raise InputError(
                f"the training examples have too few groups to hold out a {part} split. Give this split, or "
                "more groups."
            )
        kept, held = hold_out(numbers, held_out_share(HELD_OUT, len(numbers), part), own, left=left)
        splits["train"] = data.take(kept), numbers[kept]
        splits[part] = data.take(held), numbers[held]
        if own is not None:
            groups["train"], groups[part] = own[kept], own[held]
        notices.append(
            f"No {part} split is given, so {len(held)} of the {len(numbers)} training examples are held out for it."
        )
    return {part: splits[part] for part in SPLITS}, notices + _shared_groups(groups)


def _group_numbers(parts: Mapping[Part, Labelled]) -> dict[Part, NDArray[np.int64]]:
    """Split -> the group number of each example; a group has the same number in all splits."""
    given = {part: data.groups.astype(str) for part, data in parts.items() if data.groups is not None}
    names = np.unique(np.concatenate(list(given.values()))) if given else np.array([])
    return {part: np.searchsorted(names, groups).astype(np.int64) for part, groups in given.items()}


def _describe_groups(groups: NDArray[np.int64], indices: list[NDArray[np.int64]]) -> str:
    sizes = ", ".join(str(len(np.unique(groups[i]))) for i in indices)
    total = len(np.unique(groups))
    return f"Split by groups: {sizes} of {total} groups are in train, validation and test, and none is in two splits."


def _shared_groups(groups: Mapping[Part, NDArray[np.int64]]) -> list[str]:
    if "train" not in groups:
        return []
    shared = {
        part: len(np.intersect1d(groups["train"], groups[part])) for part in SPLITS[1:] if part in groups
    }
    return [
        f"{num} groups are in both your training and your {part} split, so scores may be too good."
        for part, num in shared.items()
        if num
    ]


def repeated(splits: Mapping[Part, tuple[Labelled, NDArray[np.int64]]]) -> list[str]:
    """Notices about held-out sequences that also occur in the training split."""
    notices = []
    seen = _fingerprints(splits["train"][0])
    for part in SPLITS[1:]:
        found = _fingerprints(splits[part][0])
        num = sum(one in seen for one in found)
        if num:
            notices.append(
                f"{num} of {len(found)} {part} examples also occur in the training split, number for number, so their "
                "scores are too good. Drop repeated rows, or keep them together with --groups."
            )
    return notices


def _fingerprints(data: Labelled) -> list[int]:
    lengths = data.all_lengths
    return [hash((int(n), row[:n].tobytes())) for n, row in zip(lengths, data.values, strict=True)]
