"""From what the user's files hold to three splits: the user's own where there are any, and the rest held out here."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.labelled import Labelled, Part, first_few
from globalconv.tasks.ragged import equally_long
from globalconv.tasks.splits import MOST_HELD_OUT, HeldOut, held_out_share, hold_out, three_ways

HELD_OUT_SPLITS: tuple[HeldOut, ...] = ("validation", "test")
SPLITS: tuple[Part, ...] = ("train", *HELD_OUT_SPLITS)
FEWEST_GROUPS = 3
HELD_OUT = 0.2
"""The share of the training examples that is held out for a split that the user did not give."""


def joined(main: Mapping[Part, Labelled], held_out: Mapping[Part, Labelled]) -> dict[Part, Labelled]:
    """What the main file and those of single splits hold together. Raises InputError where they do not fit."""
    parts = dict(main)
    if held_out:
        if "all" not in parts:
            raise InputError(
                f"the file holds splits of its own ({', '.join(parts)}): leave out {_options(held_out)}."
            )
        parts = {"train": parts["all"], **held_out}
        for part, data in held_out.items():
            for own, other in zip(parts["train"].columns, data.columns, strict=False):
                if own != other:
                    raise InputError(
                        f"the {part} file has the column '{other}' where the training file has '{own}': give them the "
                        "same columns in the same order."
                    )
    first = next(iter(parts.values()))
    for part, data in parts.items():
        if data.values.shape[2] != first.values.shape[2]:
            raise InputError(
                f"the {part} sequences have {data.values.shape[2]} channel(s), and the training ones "
                f"{first.values.shape[2]}: give them the same ones, in the same order."
            )
        if data.lengths is None and first.lengths is None and data.values.shape[1] != first.values.shape[1]:
            raise InputError(
                f"the {part} sequences have {data.values.shape[1]} positions, and the training ones "
                f"{first.values.shape[1]}: cut or pad them to one length, with an array lengths if they differ."
            )
    return equally_long(parts)


def _options(parts: Mapping[Part, Labelled]) -> str:
    return " and ".join(f"--{part}" for part in parts)


def class_names(parts: Mapping[Part, Labelled]) -> tuple[NDArray[np.generic], dict[Part, NDArray[np.int64]]]:
    """The names of all classes in order, and each part's examples' numbers among them.

    Raises InputError for a held-out class that is not trained on, where the splits are the user's own.
    """
    names, numbers = np.unique(np.concatenate([data.labels for data in parts.values()]), return_inverse=True)
    ends = np.cumsum([len(data.labels) for data in parts.values()])[:-1]
    classes = dict(zip(parts, np.split(numbers.astype(np.int64), ends), strict=True))
    for part, found in classes.items():
        unknown = np.setdiff1d(found, classes["all" if "all" in parts else "train"])
        if len(unknown):
            shown = first_few(f"'{names[c]}' ({np.sum(found == c)})" for c in unknown)
            raise InputError(
                f"the {part} examples have classes that the training ones lack: {shown}. Spell them alike, add "
                "examples of them to the training ones, or drop them."
            )
    return names, classes


def split_up(
    parts: Mapping[Part, Labelled], classes: Mapping[Part, NDArray[np.int64]]
) -> tuple[dict[Part, tuple[Labelled, NDArray[np.int64]]], list[str]]:
    """Train, validation and test, each with its classes; and notices about how they came about.

    With groups none is on two sides. Raises InputError where there are too few.
    """
    groups = _group_numbers(parts)
    if "all" in parts:
        data, numbers = parts["all"], classes["all"]
        own = groups.get("all")
        if own is not None and (num := len(np.unique(own))) < FEWEST_GROUPS:
            raise InputError(
                f"the groups have {num} different value{'s' * (num > 1)}: at least {FEWEST_GROUPS} are needed, one for "
                "each of training, validation and test. Without groups (or with others), give more data."
            )
        indices = dict(zip(SPLITS, three_ways(numbers, own), strict=True))
        told = [_groups_in_words(own, list(indices.values()))] if own is not None else []
        return {part: (data.take(i), numbers[i]) for part, i in indices.items()}, told
    splits = {part: (data, classes[part]) for part, data in parts.items()}
    told = []
    most = MOST_HELD_OUT["validation"]
    if "validation" in splits and len(splits["validation"][1]) > most:
        data, numbers = splits["validation"]
        _, used = hold_out(numbers, most / len(numbers))
        splits["validation"] = data.take(used), numbers[used]
        told.append(
            f"Of your {len(numbers)} validation examples {len(used)} are used, some of every class: they choose "
            "checkpoints and learning rates, for which more only take time."
        )
    missing = [part for part in reversed(HELD_OUT_SPLITS) if part not in splits]
    for number, part in enumerate(missing):
        data, numbers = splits["train"]
        own, left = groups.get("train"), len(missing) - number
        if own is not None and len(np.unique(own)) <= left:
            raise InputError(
                f"the training examples have too few groups for a {part} split to be held out: give it, or more groups."
            )
        kept, held = hold_out(numbers, held_out_share(HELD_OUT, len(numbers), part), own, left=left)
        splits["train"] = data.take(kept), numbers[kept]
        splits[part] = data.take(held), numbers[held]
        if own is not None:
            groups["train"], groups[part] = own[kept], own[held]
        told.append(
            f"There is no {part} split, so {len(held)} of the {len(numbers)} training examples are held out for it."
        )
    return {part: splits[part] for part in SPLITS}, told + _shared_groups(groups)


def _group_numbers(parts: Mapping[Part, Labelled]) -> dict[Part, NDArray[np.int64]]:
    """Part -> the group of each example as a number; the same group has one number everywhere."""
    given = {part: data.groups.astype(str) for part, data in parts.items() if data.groups is not None}
    names = np.unique(np.concatenate(list(given.values()))) if given else np.array([])
    return {part: np.searchsorted(names, groups).astype(np.int64) for part, groups in given.items()}


def _groups_in_words(groups: NDArray[np.int64], indices: list[NDArray[np.int64]]) -> str:
    sizes = ", ".join(str(len(np.unique(groups[i]))) for i in indices)
    total = len(np.unique(groups))
    return (
        f"Split by groups: of {total}, {sizes} are in train, validation and test, and none is in two of them."
    )


def _shared_groups(groups: Mapping[Part, NDArray[np.int64]]) -> list[str]:
    if "train" not in groups:
        return []
    shared = {
        part: len(np.intersect1d(groups["train"], groups[part])) for part in SPLITS[1:] if part in groups
    }
    return [
        f"{num} groups are in both your training and your {part} split: scores may be too good."
        for part, num in shared.items()
        if num
    ]


def repeated(splits: Mapping[Part, tuple[Labelled, NDArray[np.int64]]]) -> list[str]:
    """Notices about held-out sequences that stand in the training split too, number for number."""
    told = []
    seen = _fingerprints(splits["train"][0])
    for part in SPLITS[1:]:
        found = _fingerprints(splits[part][0])
        num = sum(one in seen for one in found)
        if num:
            told.append(
                f"{num} of {len(found)} {part} examples stand in the training split too, number for number: their "
                "scores are too good. Drop repeated rows, or keep them together with --groups."
            )
    return told


def _fingerprints(data: Labelled) -> list[int]:
    lengths = data.all_lengths
    return [hash((int(n), row[:n].tobytes())) for n, row in zip(lengths, data.values, strict=True)]
