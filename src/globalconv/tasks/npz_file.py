"""Read labelled sequences from a NumPy archive, without ever running what it holds."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from globalconv.errors import InputError, printable
from globalconv.tasks.files import check_fits, opened, parsing
from globalconv.tasks.labelled import Labelled, first_few
from globalconv.tasks.names import shown_names

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version 3 only adds names of fields, and arrays with fields are no sequences."""
EXACT = 2**53
"""Up to here float64 tells whole numbers apart."""
BOMB = 1 << 30
MOST_PACKED = 100
"""What unpacks to over BOMB bytes and this many times its size has hardly anything in it."""
COPIES = 3
"""As it came, as float64, and as three splits: what reading an array takes, in arrays of 8 bytes a number."""
SAVE = "np.savez(path, X=X, y=y)"


def read_npz(path: Path) -> Labelled:
    """The arrays X (n, length) or (n, length, channels) and y (n,) of ``path``. Raises InputError."""
    with opened(path) as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise InputError(f"'{path}' is a single array, not an archive. Write it with {SAVE}.")
        with parsing(path, f"is not a NumPy archive. Write it with {SAVE}."):
            archive = zipfile.ZipFile(file)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        missing = [name for name in ("X", "y") if f"{name}.npy" not in archive.namelist()]
        if missing:
            raise InputError(
                f"'{path.name}' has no array {' and no array '.join(missing)}; it holds "
                f"{first_few(map(printable, names)) or 'nothing'}. "
                "Write it with np.savez(path, X=sequences, y=classes)."
            )
        values, labels = read_array(archive, "X", path), read_array(archive, "y", path)
    if values.dtype.kind not in "biuf":
        raise InputError(f"X in '{path.name}' is of type {values.dtype}: it must hold real numbers.")
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(
            f"X in '{path.name}' has shape {values.shape}: it must be (examples, length) or "
            "(examples, length, channels), none of them 0."
        )
    if labels.ndim != 1:
        raise InputError(
            f"y in '{path.name}' has shape {labels.shape}: it must be (examples,), one class each."
        )
    if len(values) != len(labels):
        raise InputError(
            f"X in '{path.name}' has {len(values)} examples, but y has {len(labels)}: "
            "give every example one class."
        )
    _check_exact(values, path)
    if values.dtype not in (np.uint8, np.float32):
        with np.errstate(over="ignore"):  # of long doubles: infinite, and so refused
            values = values.astype(np.float64)
    _check_finite(values, path)
    positions = tuple(f"X[:, {position}]" for position in range(values.shape[1]))
    return Labelled(values.reshape(*values.shape[:2], -1), _classes(labels, path), positions)


def read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """The array ``name`` of the archive ``path``; what it says of its size is checked before it is unpacked.

    Raises InputError for Python objects, for arrays larger than their part of the archive or than the memory
    that is free, and for whatever is damaged, locked or packed in an unknown way.
    """
    damaged = f"has an array {name} that cannot be read ({{reason}}). Write it again with {SAVE}."
    part = archive.getinfo(f"{name}.npy")
    with parsing(path, damaged), archive.open(part) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of its format")
        shape, _, dtype = HEADERS[version](stream)
        behind = part.file_size - stream.tell()
    if dtype.hasobject:
        raise InputError(
            f"the array {name} in '{path.name}' cannot be read. Python objects are refused, as reading them "
            "could run code. Save plain numbers and strings: np.savez(path, X=X.astype('float32'), y=y.astype(str))."
        )
    if dtype.kind not in "biufcU":
        raise InputError(
            f"{name} in '{path.name}' is of type {dtype}: X must hold real numbers, y whole numbers or strings."
        )
    count = math.prod(shape)
    if count * dtype.itemsize != behind:
        raise InputError(
            f"the array {name} in '{path.name}' cannot be read: by its header its shape is {shape}, which takes "
            f"{count * dtype.itemsize} bytes, and {behind} are there. Write it again with {SAVE}."
        )
    if behind > max(BOMB, MOST_PACKED * part.compress_size):
        raise InputError(
            f"the array {name} in '{path.name}' is {behind / 1e9:.3g} GB packed into {part.compress_size / 1e9:.2g}: "
            f"nearly all of it is one value. If it is meant, write it unpacked: {SAVE}."
        )
    check_fits(path, count * dtype.itemsize + COPIES * 8 * count)
    with parsing(path, damaged), archive.open(part) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _check_exact(values: NDArray[Any], path: Path) -> None:
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 8:
        return
    large = (values > EXACT) | (values < -EXACT)
    if large.any():
        rows = np.flatnonzero(large.reshape(len(values), -1).any(axis=1))
        raise InputError(
            f"X in '{path.name}' has whole numbers beyond 2^53, which float64 does not tell apart: rows "
            f"{first_few(rows)}, counted from 0. Leave identifiers out, or give X as float64."
        )


def _check_finite(values: NDArray[Any], path: Path) -> None:
    finite = np.isfinite(values)
    if finite.all():
        return
    rows = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
    raise InputError(
        f"X in '{path.name}' has {np.sum(~finite)} missing or infinite values, in {len(rows)} examples: rows "
        f"{first_few(rows)}, counted from 0. Drop these rows, or fill the values (np.nan_to_num)."
    )


def _classes(labels: NDArray[Any], path: Path) -> NDArray[Any]:
    kind = labels.dtype.kind
    if kind == "f" and (np.abs(labels) <= EXACT).all() and (labels == np.rint(labels)).all():
        return labels.astype(np.int64)
    if kind not in "biuU":
        raise InputError(
            f"y in '{path.name}' is of type {labels.dtype} and names no classes: "
            "use whole numbers or strings."
        )
    if kind == "U":
        names, classes = np.unique(labels, return_inverse=True)
        labels = np.array(list(shown_names(names.tolist(), "class", path).values()))[classes]
    return labels
