"""The operator as a backend offers it: one of the two operations, whose derivatives are the operations again."""

import torch
from torch import Tensor

from globalconv.ops.contract import Extras, Mode
from globalconv.ops.fused_cpu import batching, derivatives, operations  # noqa: F401 (two register rules)


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """As ``Backend.convolve`` asks."""
    return fused(x, taps, mode, Extras())


def fused(x: Tensor, taps: Tensor, mode: Mode, extras: Extras) -> Tensor:
    """As ``Backend.fused`` asks."""
    learning = torch.is_grad_enabled() and any(
        operand is not None and operand.requires_grad for operand in (x, taps, *extras)
    )
    y: Tensor = operations.convolve(x, taps, *extras, mode, not learning)
    return y
