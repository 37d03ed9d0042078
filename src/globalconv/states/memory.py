"""What is kept of a memory, the encoder's output, while a decoder writes: nothing that a step would change."""

import copy
from typing import Any, Self

import torch
from torch import Tensor


class MemoryRows:
    """Tensors made from a memory, a row of each for each sequence that reads it; a tensor may be None.

    ``source`` (batch,) int64 says which row of the first batch each sequence answers. Where a selection leaves that as
    it is, nothing is copied: beams mostly change places among those of one source.
    """

    def __init__(self, *tensors: Tensor | None) -> None:
        self.tensors: tuple[Any, ...] = tensors  # each a tensor or None, as its maker knows
        rows = next((tensor for tensor in tensors if tensor is not None), None)
        self.source = None if rows is None else torch.arange(len(rows), device=rows.device)

    def select(self, rows: Tensor) -> Self:
        """The same of the sequences ``rows``, (new batch,) int64."""
        if self.source is None or torch.equal(source := self.source[rows], self.source):
            return self
        chosen = copy.copy(self)
        chosen.source = source
        chosen.tensors = tuple(None if tensor is None else tensor[rows] for tensor in self.tensors)
        return chosen

    def numbers(self) -> int:
        """How many floating-point numbers are kept."""
        return sum(t.numel() for t in self.tensors if t is not None and t.is_floating_point())
