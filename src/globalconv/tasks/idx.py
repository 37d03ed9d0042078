"""Read the IDX format of the MNIST family (Y. LeCun, "The MNIST database"): a header and bytes."""

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.files import check_fits, opened, parsing

UNSIGNED_BYTE = 0x08
MOST_AXES = 8


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in ``path``, gzipped if its name ends in .gz.

    Raises InputError unless the file holds exactly one IDX array of unsigned bytes.
    """
    packed = path.suffix == ".gz"
    with opened(path) as file, parsing(path, "is truncated or damaged ({reason}). Download it again."):
        stream = gzip.GzipFile(fileobj=file) if packed else file
        begins = stream.read(4)
        if begins[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(begins) < 4:
            raise InputError(
                f"{path} is not an IDX file of unsigned bytes: it should begin with the bytes 00 00 08, "
                f"but begins with {begins[:3].hex(' ') or 'nothing'}. Download the file again, or give another folder."
            )
        if begins[3] > MOST_AXES:
            raise InputError(f"{path} has {begins[3]} axes instead of 3. Download the file again.")
        sizes = stream.read(4 * begins[3])
        shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, len(sizes), 4))
        expected = math.prod(shape)
        check_fits(path, 2 * expected)
        data = stream.read(expected + 1)
    if len(sizes) < 4 * begins[3] or len(data) != expected:
        raise InputError(
            f"the header of {path} gives {expected} bytes (shape {shape}), but the file is "
            f"{'too long' if len(data) > expected else 'truncated'}. Download it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
