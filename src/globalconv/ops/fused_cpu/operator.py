"""The compiled kernels as operations of PyTorch's. Importing this imports no Numba; the first call does."""

from typing import Any

from torch import Tensor

from globalconv.ops.native import register


def _convolve(*operands: Any) -> Tensor:
    from globalconv.ops.fused_cpu import launch

    return launch.convolve(*operands)


def _differentiate(*operands: Any) -> tuple[Tensor | None, ...]:
    from globalconv.ops.fused_cpu import launch

    return launch.differentiate(*operands)


OPERATIONS = register("fused_cpu", "CPU", _convolve, _differentiate)
