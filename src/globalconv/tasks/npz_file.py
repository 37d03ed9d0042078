"""Read labelled sequences from a NumPy archive, without unpickling anything."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.arrays import Role, check_values, find_parts, labelled, read_arrays
from globalconv.tasks.files import check_fits, opened, parsing
from globalconv.tasks.labelled import Labelled, Layout, Part

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
"""Version 3 only adds field names, and structured arrays are not sequences."""
BOMB = 1 << 30
MOST_PACKED = 100
"""An array of more than BOMB bytes and this compression ratio is refused: nearly all of it is one value."""
COPIES = 3
"""Copies of 8 bytes per number that reading an array needs: the original, float64, and the three splits."""
SAVE = "np.savez(path, X=X, y=y)"


def read_npz(path: Path, *, layout: Layout | None = None, groups: str | None = None) -> dict[Part, Labelled]:
    """The examples of ``path``: X and y, or X_train, y_train and so on, with lengths and groups if present.

    X is (n, length) or (n, length, channels); or (n, channels, length) if ``layout`` says so or its second axis is too
    short to be time. y is (n,). Nothing else is read. Raises InputError.
    """
    with _archive(path) as (archive, held):
        names, notices = find_parts(held, path, groups=groups)
        arrays = {
            part: {role: read_array(archive, name, path) for role, name in roles.items()}
            for part, roles in names.items()
        }
    return read_arrays(arrays, names, path, layout=layout, notices=notices)


def read_new_npz(path: Path, *, layout: Layout) -> Labelled:
    """New rows: X, with lengths and y if present. ``layout`` is that of an X with three axes. Raises InputError."""
    with _archive(path) as (archive, held):
        parts, _ = find_parts(held, path, groups=None, needed=("X",))
        if "all" not in parts:
            raise InputError(f"'{path.name}' holds splits ({', '.join(parts)}). Give a file with X.")
        names: dict[Role, str] = {role: name for role, name in parts["all"].items() if role != "groups"}
        arrays: dict[Role, NDArray[Any]] = {
            role: read_array(archive, name, path) for role, name in names.items()
        }
    check_values(arrays["X"], names["X"], path)
    return labelled(arrays, names, layout, path)


@contextmanager
def _archive(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[str]]]:
    """The archive ``path``, and the names of its arrays. Raises InputError."""
    with opened(path) as file:
        if file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX:
            raise InputError(f"'{path}' is a single array, not an archive. Save it with {SAVE}.")
        with parsing(path, f"is not a NumPy archive. Save it with {SAVE}."):
            archive = zipfile.ZipFile(file)
        yield archive, [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def read_array(archive: zipfile.ZipFile, name: str, path: Path) -> NDArray[Any]:
    """The array ``name`` of the archive ``path``; its declared size is checked before it is unpacked.

    Raises InputError for Python objects, for arrays larger than their part of the archive or than the free memory,
    and for damaged, encrypted or unsupported archives.
    """
    damaged = f"has an array {name} that cannot be read ({{reason}}). Save it again with {SAVE}."
    part = archive.getinfo(f"{name}.npy")
    with parsing(path, damaged), archive.open(part) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of its format")
        shape, _, dtype = HEADERS[version](stream)
        behind = part.file_size - stream.tell()
    if dtype.hasobject:
        raise _objects_refused(name, path)
    if dtype.kind not in "biufcU":
        raise InputError(
            f"{name} in '{path.name}' has type {dtype}. X must hold real numbers, y "
            "and groups whole numbers or strings."
        )
    count = math.prod(shape)
    if count * dtype.itemsize != behind:
        raise InputError(
            f"the array {name} in '{path.name}' cannot be read: its header gives the shape {shape}, which needs "
            f"{count * dtype.itemsize} bytes, but there are {behind}. Save it again with {SAVE}."
        )
    if behind > max(BOMB, MOST_PACKED * part.compress_size):
        raise InputError(
            f"the array {name} in '{path.name}' is {behind / 1e9:.3g} GB compressed to "
            f"{part.compress_size / 1e9:.2g}, so "
            f"nearly all of it is one value. If that is right, save it uncompressed: {SAVE}."
        )
    check_fits(path, count * dtype.itemsize + COPIES * 8 * count)
    with parsing(path, damaged), archive.open(part) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _objects_refused(name: str, path: Path) -> InputError:
    """The error for an array of Python objects, with code that saves the data as numbers and strings."""
    refused = f"the array {name} in '{path.name}' holds Python objects, which are refused: loading them could run code."
    if not name.lower().startswith("x"):
        return InputError(
            f"{refused} Save strings or whole numbers: np.savez({path.name!r}, X=X, y=np.array(y).astype(str))."
        )
    return InputError(
        f"{refused} If they are sequences of different lengths, pad them and save their lengths:\n"
        "  n = [len(x) for x in X]; "
        "P = np.stack([np.pad(x, [(0, max(n) - len(x)), (0, 0)][: np.ndim(x)]) for x in X]).astype('float32')\n"
        f"  np.savez({path.name!r}, X=P, y=np.array(y).astype(str), lengths=n)"
    )
