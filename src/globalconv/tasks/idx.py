"""Read the IDX format of the MNIST family (Y. LeCun, "The MNIST database"): a header and bytes."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in ``path``, gzipped (by its name's .gz) or not.

    Raises InputError for anything that is not exactly one IDX array of unsigned bytes.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is truncated or damaged ({error}). Fetch the file again.") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}.") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != UNSIGNED_BYTE:
        raise InputError(
            f"{path} is not an IDX file of unsigned bytes: it should begin with the bytes 00 00 08, "
            f"but begins with {data[:3].hex(' ') or 'nothing'}. Fetch the file again, or name another folder."
        )
    num_axes = data[3]
    start = 4 + 4 * num_axes
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, min(start, len(data)), 4))
    expected = start + int(np.prod(shape, dtype=object))
    if len(data) < start or len(data) != expected:
        raise InputError(
            f"{path} holds {len(data)} bytes, but its header announces {expected} (shape {shape}): the file "
            f"is {'truncated' if len(data) < expected else 'too long'}. Fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
