"""Interpret the arrays of an archive: sequences, classes, lengths and groups, and which axis is time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError, printable, unknown_name
from globalconv.tasks.labelled import LIKE_GROUPS, Labelled, Layout, Part, first_few
from globalconv.tasks.names import shown_names
from globalconv.tasks.ragged import (
    check_lengths,
    describe_lengths,
    lengths_by_gaps,
    real_positions,
    without_padding,
)

Role = Literal["X", "y", "lengths", "groups"]
ROLES: tuple[Role, ...] = get_args(Role)
PART_NAMES: dict[str, Part] = {
    "": "all",
    "_train": "train",
    "_validation": "validation",
    "_valid": "validation",
    "_val": "validation",
    "_test": "test",
}
"""Suffix of the arrays' names (X_train) -> the split that it names."""
FEW_CHANNELS = 16
MUCH_LONGER = 8
"""An array (n, a, b) with a <= FEW_CHANNELS and b >= MUCH_LONGER * a is read as a channels of length b: nobody means
sequences of two positions with 512 channels."""
EXACT = 2**53
"""Up to here float64 represents every whole number exactly."""
SAVE = "np.savez(path, X=sequences, y=classes)"


def find_parts(
    names: Sequence[str], path: Path, *, groups: str | None, needed: Sequence[Role] = ("X", "y")
) -> tuple[dict[Part, dict[Role, str]], tuple[str, ...]]:
    """The role of every array (split -> role -> name), and notices about unused arrays.

    ``groups`` is the name of the groups' array, without the split's suffix; None: "groups". Raises InputError if an
    array that is ``needed`` is missing, or if there are both X and X_train.
    """
    parts: dict[Part, dict[Role, str]] = {}
    for ending, part in PART_NAMES.items():
        called = {"X": ("X", "x"), "y": ("y", "Y"), "lengths": ("lengths",), "groups": (groups or "groups",)}
        for role in ROLES:
            for stem in called[role]:
                if stem + ending in names:
                    parts.setdefault(part, {}).setdefault(role, stem + ending)
    parts = {part: roles for part, roles in parts.items() if "X" in roles or "y" in roles}
    wanted = {part: [role for role in needed if role not in roles] for part, roles in parts.items()}
    if not parts or any(wanted.values()):
        part, missing = next(((p, m) for p, m in wanted.items() if m), ("all", list(needed)))
        ending = "" if part == "all" else f"_{part}"
        raise InputError(
            f"'{path.name}' has no array {' and no array '.join(role + ending for role in missing)}; it holds "
            f"{first_few(map(printable, names)) or 'nothing'}. Write it with {SAVE}."
        )
    if "all" in parts and len(parts) > 1:
        other = next(part for part in parts if part != "all")
        raise InputError(
            f"'{path.name}' holds both X and X_{other}. Give X and y, which globalconv splits, or X_train, y_train "
            "and your own other splits."
        )
    if "all" not in parts and "train" not in parts:
        raise InputError(f"'{path.name}' has no array X_train; it holds {first_few(map(printable, names))}.")
    if groups is not None and not all("groups" in roles for roles in parts.values()):
        shown = [name for name in names if not any(name in roles.values() for roles in parts.values())]
        if groups in names or any(name.startswith(f"{groups}_") for name in names):
            raise InputError(
                f"'{path.name}' has the groups '{groups}' for some splits only. Give them for every split."
            )
        raise InputError(f"--groups {groups}: {unknown_name('array', groups, shown)}")
    used = {name for roles in parts.values() for name in roles.values()}
    return parts, _unused([name for name in names if name not in used])


def read_arrays(
    arrays: Mapping[Part, Mapping[Role, NDArray[Any]]],
    names: Mapping[Part, Mapping[Role, str]],
    path: Path,
    *,
    layout: Layout | None,
    notices: tuple[str, ...],
) -> dict[Part, Labelled]:
    """The examples of each split, all with the same layout. Raises InputError."""
    first: Part = "all" if "all" in arrays else "train"
    for part, found in arrays.items():
        check_values(found["X"], names[part]["X"], path)
    shape, lengths = arrays[first]["X"].shape, arrays[first].get("lengths")
    layout, remarks = time_axis(shape, lengths, layout, names[first]["X"], path)
    parts = {part: labelled(found, names[part], layout, path) for part, found in arrays.items()}
    parts[first] = replace(parts[first], notices=remarks + notices + parts[first].notices)
    return parts


def _unused(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    notice = f"Not used: array {first_few(map(printable, names))}."
    alike = [name for name in names if name.lower() in LIKE_GROUPS]
    if alike:
        notice += (
            f" If {alike[0]} marks examples that belong together, add --groups {alike[0]} to keep each group in one "
            "split. Otherwise scores may be too good."
        )
    return (notice,)


def time_axis(
    shape: tuple[int, ...], lengths: NDArray[Any] | None, asked: Layout | None, name: str, path: Path
) -> tuple[Layout, tuple[str, ...]]:
    """The layout of X, channels first or last, and notices about how it was found.

    Raises InputError if ``asked`` is given and X has one channel.
    """
    if len(shape) == 2:
        if asked is not None:
            raise InputError(
                f"--layout {asked}: {name} in '{path.name}' has only one channel. Leave the option out."
            )
        return "channels_last", ()
    _, second, third = shape
    if asked is not None:
        return asked, ()
    first: Layout = "channels_first"
    longest = int(lengths.max()) if lengths is not None and lengths.size and lengths.dtype.kind in "iu" else 0
    if longest == second:
        return "channels_last", ()
    if second < longest <= third:
        return first, (_taken_as(shape, first, name, f"its lengths go up to {longest}"),)
    if second <= FEW_CHANNELS and third >= MUCH_LONGER * second:
        return first, (_taken_as(shape, first, name, "its second axis is too short to be time"),)
    if third >= 2 * second:
        return "channels_last", (_taken_as(shape, "channels_last", name, "that is the default"),)
    return "channels_last", ()


def _taken_as(shape: tuple[int, ...], layout: Layout, name: str, because: str) -> str:
    other: Layout = "channels_first" if layout == "channels_last" else "channels_last"
    length, channels = (shape[1], shape[2]) if layout == "channels_last" else (shape[2], shape[1])
    return (
        f"{name} has shape {shape} and is read as sequences of {length} positions with {channels} "
        f"channel{'s' * (channels > 1)}, because {because}. For {channels} positions with {length} channels, use "
        f"--layout {other}."
    )


def labelled(
    arrays: Mapping[Role, NDArray[Any]], names: Mapping[Role, str], layout: Layout, path: Path
) -> Labelled:
    """The examples in ``arrays``, with or without y. ``names``: role -> name in the file. Raises InputError."""
    values, labels = arrays["X"], arrays.get("y")
    if labels is not None and labels.ndim != 1:
        raise InputError(
            f"{names['y']} in '{path.name}' has shape {labels.shape}. It must be (examples,), with one class each."
        )
    if labels is not None and len(values) != len(labels):
        raise InputError(
            f"{names['X']} in '{path.name}' has {len(values)} examples, but {names['y']} has {len(labels)}: "
            "give one class for every example."
        )
    if values.ndim == 2:  # one channel, whatever the layout of other files
        values = values[:, :, None]
    elif layout == "channels_first":
        values = np.ascontiguousarray(values.swapaxes(1, 2))
    _check_exact(values, names["X"], path)
    if values.dtype not in (np.uint8, np.float32):
        with np.errstate(over="ignore"):  # long doubles overflow to infinity, which is refused below
            values = values.astype(np.float64)
    notices: tuple[str, ...] = ()
    lengths = None
    if "lengths" in arrays:
        lengths = check_lengths(
            arrays["lengths"], name=names["lengths"], path=path, num=len(values), longest=values.shape[1]
        )
        if (lengths < lengths.max()).any():
            notices = (
                f"By {names['lengths']}, {describe_lengths(lengths, int(lengths.max()))}. The rest is padding.",
            )
    elif (lengths := lengths_by_gaps(values)) is not None:
        found = describe_lengths(lengths, int(lengths.max()))
        notices = (f"{names['X']} has NaN only at the ends of sequences, which is read as padding: {found}.",)
    _check_finite(values, lengths, names["X"], path)
    if lengths is not None:
        values = without_padding(values, lengths)
    positions = tuple(f"{names['X']}[:, {position}]" for position in range(values.shape[1]))
    groups = arrays.get("groups")
    if groups is not None:
        _check_groups(groups, names["groups"], path, len(values))
    classes = np.array([], str) if labels is None else _classes(labels, names["y"], path)
    return Labelled(values, classes, positions, lengths, groups, notices, layout)


def check_values(values: NDArray[Any], name: str, path: Path) -> None:
    """Raise InputError unless ``values`` are sequences of real numbers."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} in '{path.name}' has type {values.dtype}. It must hold real numbers.")
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(
            f"{name} in '{path.name}' has shape {values.shape}. It must be (examples, length) or "
            "(examples, length, channels), without an empty axis."
        )


def _check_finite(values: NDArray[Any], lengths: NDArray[np.int64] | None, name: str, path: Path) -> None:
    broken = ~np.isfinite(values)
    if lengths is not None:
        broken &= real_positions(lengths, values.shape[1])[:, :, None]
    if not broken.any():
        return
    rows = np.flatnonzero(broken.reshape(len(values), -1).any(axis=1))
    raise InputError(
        f"{name} in '{path.name}' has {broken.sum()} missing or infinite values in {len(rows)} examples: rows "
        f"{first_few(rows)} (counted from 0). Drop these rows or fill the values (np.nan_to_num)."
    )


def _check_groups(groups: NDArray[Any], name: str, path: Path, num: int) -> None:
    if groups.shape != (num,):
        raise InputError(
            f"{name} in '{path.name}' has shape {groups.shape}. It must be ({num},), one group for each example."
        )
    if groups.dtype.kind not in "biuUfS" or (groups.dtype.kind == "f" and not np.isfinite(groups).all()):
        raise InputError(
            f"{name} in '{path.name}' has type {groups.dtype} or missing values. Use whole numbers or strings."
        )


def _check_exact(values: NDArray[Any], name: str, path: Path) -> None:
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return
    large = (values > EXACT) | (values < -EXACT)
    if large.any():
        rows = np.flatnonzero(large.reshape(len(values), -1).any(axis=1))
        raise InputError(
            f"{name} in '{path.name}' has whole numbers beyond 2^53, which float64 cannot represent: rows "
            f"{first_few(rows)} (counted from 0). Remove identifiers, or save {name} as float64."
        )


def _classes(labels: NDArray[Any], name: str, path: Path) -> NDArray[Any]:
    kind = labels.dtype.kind
    if kind == "f" and (np.abs(labels) <= EXACT).all() and (labels == np.rint(labels)).all():
        return labels.astype(np.int64)
    if kind not in "biuU":
        raise InputError(
            f"{name} in '{path.name}' has type {labels.dtype}, which cannot name classes. "
            "Use whole numbers or strings."
        )
    if kind == "U":
        names, classes = np.unique(labels, return_inverse=True)
        labels = np.array(list(shown_names(names.tolist(), "class", path).values()))[classes]
    return labels
