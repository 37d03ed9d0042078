"""How many rows of a batch fit into memory, estimated before they are computed."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

MEMORY = 4 * 10**9
"""Bytes that a probe may use by default."""
ROWS = 512
"""The most rows per chunk: more are not faster."""
# Memory of a row, as a multiple of what its graph keeps: for values; for a backward pass; for a double backward pass.
# On our mixers and models it was at most 1.9, 2.7 and 8.9 (attention, whose scores are many times the size of its
# input); the rest is a margin for what the caller holds.
VALUES, GRADIENT, SECOND = 3, 4, 12

Progress = Callable[[int, int], None]
"""Called with (done, all) rows."""


class RowTooLarge(Exception):
    """A single row needs more than the memory limit."""


def bytes_of_a_row(run: Callable[[], Tensor], *, weights: Iterable[Tensor], limit: float) -> int:
    """Bytes that ``run``, with one row, saves for its backward pass, without the ``weights``, which all rows share.

    Raises RowTooLarge as soon as a double backward pass, which needs a multiple of it, would exceed ``limit``.
    """
    shared = {weight.untyped_storage().data_ptr() for weight in weights}
    seen: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in shared:
            seen[storage.data_ptr()] = storage.nbytes()
        if SECOND * sum(seen.values()) > limit:
            raise RowTooLarge
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = run()
    total = sum(seen.values()) + 2 * output.numel() * output.element_size()
    if SECOND * total > limit:
        raise RowTooLarge
    return total


def chunks(
    rows: int, *, row_bytes: int, memory: int, needs: int, progress: Progress | None = None
) -> Iterator[range]:
    """The rows 0 .. rows - 1 in chunks that fit; ``progress`` is called after each chunk."""
    at_once = max(1, min(ROWS, memory // (needs * row_bytes)))
    for start in range(0, rows, at_once):
        stop = min(rows, start + at_once)
        yield range(start, stop)
        if progress is not None:
            progress(stop, rows)
