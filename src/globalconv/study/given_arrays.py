"""Arrays that a caller has in memory, kept as an .npz in the study's directory: workers and a resumed study read it."""

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.host.atomic_files import make_directory, write_bytes

Arrays = tuple[Any, Any] | Mapping[str, Any]
"""(X, y), or the arrays of an .npz by name: X, y, lengths, groups; or X_train, y_train, X_test and so on."""


class GivenArrays:
    """Arrays as the bytes of an .npz, and a name that is their content's: equal arrays are the same study."""

    def __init__(self, arrays: object) -> None:
        """``arrays``: see Arrays. Raises InputError for anything else, and for objects in them."""
        if not isinstance(arrays, Mapping) and not (isinstance(arrays, list | tuple) and len(arrays) == 2):
            raise InputError(
                'give a task, a file, arrays as (X, y), or a dict: {"X": X, "y": y, "lengths": lengths}.'
            )
        named = arrays if isinstance(arrays, Mapping) else dict(zip(("X", "y"), arrays, strict=True))
        content = io.BytesIO()
        np.savez(content, **{name: _as_array(name, value) for name, value in named.items()})  # type: ignore[arg-type]
        self.content = content.getvalue()
        self.name = f"arrays-{hashlib.sha256(self.content).hexdigest()[:8]}"

    @contextmanager
    def kept_in(self, directory: Path) -> Iterator[Path]:
        """The file, written into ``directory``; removed again where the study of it is refused.

        Its folder is called by the content, so that other arrays in the same directory never replace these.
        """
        file, plan = directory / self.name / "arrays.npz", directory / "plan.json"
        is_new, is_another_study = not file.exists(), plan.exists()
        if is_new:
            make_directory(file.parent)
            write_bytes(file, self.content)
        try:
            yield file
        except InputError:
            if is_new and (is_another_study or not plan.exists()):
                shutil.rmtree(file.parent)
                with suppress(OSError):  # something else lies there
                    directory.rmdir()
            raise


def _as_array(name: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a tensor, on whatever device
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
        if array.dtype == object:  # strings or numbers of pandas
            array = np.asarray(array.tolist())
    except ValueError as error:
        raise InputError(
            f"{name} has rows of different lengths. Pad them, and give their lengths: "
            '{"X": X, "y": y, "lengths": lengths}.'
        ) from error
    if array.dtype == object:
        raise InputError(f"{name} holds Python objects. Give an array of numbers or strings.")
    return array
