"""Read labelled sequences from a NumPy archive, without ever running what it holds."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.labelled import Labelled, first_few


def read_npz(path: Path) -> Labelled:
    """The arrays X (n, length) or (n, length, channels) and y (n,) of ``path``. Raises InputError."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"'{path}' is not a NumPy archive. Write it with np.savez(path, X=X, y=y)."
        ) from error
    if not isinstance(archive, NpzFile):
        raise InputError(
            f"'{path}' is a single array, not an archive. Write it with np.savez(path, X=X, y=y)."
        )
    with archive:
        missing = [name for name in ("X", "y") if name not in archive.files]
        if missing:
            raise InputError(
                f"'{path.name}' has no array {' and no array '.join(missing)}; it holds "
                f"{', '.join(archive.files) or 'nothing'}. "
                "Write it with np.savez(path, X=sequences, y=classes)."
            )
        values, labels = _load(archive, "X", path), _load(archive, "y", path)
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
    if values.dtype not in (np.uint8, np.float32):
        values = values.astype(np.float64)
    _check_finite(values, path)
    positions = tuple(f"X[:, {position}]" for position in range(values.shape[1]))
    return Labelled(values.reshape(*values.shape[:2], -1), _classes(labels, path), positions)


def _load(archive: NpzFile, name: str, path: Path) -> NDArray[Any]:
    try:
        return np.asarray(archive[name])
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"the array {name} in '{path.name}' cannot be read ({error}). Python objects are refused, "
            "as reading them could run code. Save plain numbers and strings: "
            "np.savez(path, X=X.astype('float32'), y=y.astype(str))."
        ) from error


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
    if kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        return labels.astype(np.int64)
    if kind not in "biuU":
        raise InputError(
            f"y in '{path.name}' is of type {labels.dtype} and names no classes: "
            "use whole numbers or strings."
        )
    return labels
