"""PyTorch's number of threads, which is global to the process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads_restored() -> Iterator[None]:
    """Restore the caller's number of threads when the block ends."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
