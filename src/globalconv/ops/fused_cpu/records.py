"""Tables whose rows are named tuples of whole numbers: in Python and in kernels, columns have names."""

import numpy as np


def record(row: type[tuple[int, ...]]) -> np.dtype[np.void]:
    """The NumPy type of a table of such rows; a kernel reads ``table[k].name``."""
    return np.dtype([(name, np.int64) for name in row._fields], align=True)  # type: ignore[attr-defined]
