"""Taps of its own for each row of a batch, by any backend: rows side by side are channels of one row.

No channel sees another, so a batch of B rows of D channels is one row of B D channels. Above the backends, so that all
of them inherit it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from globalconv.ops.interface import Extras

Compute = Callable[[Tensor, Tensor, Extras], Tensor]
"""A convolution of x (B, L, D) with taps (G, K), and what is around it."""


def side_by_side(compute: Compute, x: Tensor, taps: Tensor, extras: Extras) -> Tensor:
    """``compute`` of one row, of the rows of ``x`` (B, L, D), B >= 1, which have taps (B, G, K). Returns (B, L, D)."""
    rows, length, width = x.shape
    skip, gate_in, gate_out = extras
    around = Extras(None if skip is None else skip.repeat(rows), _beside(gate_in), _beside(gate_out))
    y = compute(x.transpose(0, 1).reshape(1, length, rows * width), taps.flatten(0, 1), around)
    # A copy also where there is one row: what is returned is nobody's view.
    return y.view(length, rows, width).transpose(0, 1).clone(memory_format=torch.contiguous_format)


def _beside(gate: Tensor | None) -> Tensor | None:
    return None if gate is None else gate.transpose(0, 1).reshape(1, gate.shape[1], -1)
