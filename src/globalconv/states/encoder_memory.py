"""What decoding keeps of a memory, the encoder's output; steps do not change it."""

import copy
from typing import Any, Self

import torch
from torch import Tensor


class MemoryRows:
    """Tensors (or None) computed from a memory, with one row for each sequence that reads it.

    ``source`` (batch,) int64 is the source row of each sequence. A selection that does not change it copies nothing:
    beams are mostly reordered within one source.
    """

    def __init__(self, *tensors: Tensor | None) -> None:
        self.tensors: tuple[Any, ...] = tensors  # each a tensor or None
        rows = next((tensor for tensor in tensors if tensor is not None), None)
        self.source = None if rows is None else torch.arange(len(rows), device=rows.device)

    def select(self, rows: Tensor) -> Self:
        """The same for the sequences ``rows``, (new batch,) int64."""
        if self.source is None or torch.equal(source := self.source[rows], self.source):
            return self
        chosen = copy.copy(self)
        chosen.source = source
        chosen.tensors = tuple(None if tensor is None else tensor[rows] for tensor in self.tensors)
        return chosen

    def numbers(self) -> int:
        """The number of floating-point values kept."""
        return sum(t.numel() for t in self.tensors if t is not None and t.is_floating_point())
