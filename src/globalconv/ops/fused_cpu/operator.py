"""The operator as a backend offers it: one of the two operations, whose derivatives are the operations again."""

from torch import Tensor

from globalconv.ops.fused_cpu import batching, derivatives, operations  # noqa: F401 (two register rules)
from globalconv.ops.interface import Extras, Mode


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """As ``Backend.convolve`` asks."""
    return fused(x, taps, mode, Extras())


def fused(x: Tensor, taps: Tensor, mode: Mode, extras: Extras) -> Tensor:
    """As ``Backend.fused`` asks."""
    y: Tensor = operations.convolve(x, taps, *extras, mode, True)
    return y
