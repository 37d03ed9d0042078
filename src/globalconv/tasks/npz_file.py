"""Read labelled sequences from a NumPy archive, without ever running what it holds."""

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
"""Version 3 only adds names of fields, and arrays with fields are no sequences."""
BOMB = 1 << 30
MOST_PACKED = 100
"""What unpacks to over BOMB bytes and this many times its size has hardly anything in it."""
COPIES = 3
"""As it came, as float64, and as three splits: what reading an array takes, in arrays of 8 bytes a number."""
SAVE = "np.savez(path, X=X, y=y)"


def read_npz(path: Path, *, layout: Layout | None = None, groups: str | None = None) -> dict[Part, Labelled]:
    """The examples of ``path``: X and y, or X_train, y_train and the like; with lengths and groups if it has them.

    X is (n, length) or (n, length, channels), or (n, channels, length) where ``layout`` says so or where nothing else
    can be meant; y is (n,). Nothing else is read. Raises InputError.
    """
    with _archive(path) as (archive, held):
        names, notices = find_parts(held, path, groups=groups)
        arrays = {
            part: {role: read_array(archive, name, path) for role, name in roles.items()}
            for part, roles in names.items()
        }
    return read_arrays(arrays, names, path, layout=layout, notices=notices)


def read_new_npz(path: Path, *, layout: Layout) -> Labelled:
    """New rows: X, with lengths and y if they are there. X of three axes is read by ``layout``. Raises InputError."""
    with _archive(path) as (archive, held):
        parts, _ = find_parts(held, path, groups=None, needed=("X",))
        if "all" not in parts:
            raise InputError(f"'{path.name}' holds splits ({', '.join(parts)}): give a file with X.")
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
            raise InputError(f"'{path}' is a single array, not an archive. Write it with {SAVE}.")
        with parsing(path, f"is not a NumPy archive. Write it with {SAVE}."):
            archive = zipfile.ZipFile(file)
        yield archive, [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


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
        raise _objects_refused(name, path)
    if dtype.kind not in "biufcU":
        raise InputError(
            f"{name} in '{path.name}' is of type {dtype}: X must hold real numbers, and y "
            "and groups whole numbers or strings."
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


def _objects_refused(name: str, path: Path) -> InputError:
    """That an array of Python objects is not read, and how the same is saved as numbers and strings."""
    refused = f"the array {name} in '{path.name}' holds Python objects, which are refused: reading them could run code."
    if not name.lower().startswith("x"):
        return InputError(
            f"{refused} Save strings or whole numbers: np.savez({path.name!r}, X=X, y=np.array(y).astype(str))."
        )
    return InputError(
        f"{refused} If they are sequences of different lengths, pad them, and save their lengths:\n"
        "  n = [len(x) for x in X]; "
        "P = np.stack([np.pad(x, [(0, max(n) - len(x)), (0, 0)][: np.ndim(x)]) for x in X]).astype('float32')\n"
        f"  np.savez({path.name!r}, X=P, y=np.array(y).astype(str), lengths=n)"
    )
