"""Facts about a graph under construction: its symbolic sizes, and whether it is for ONNX.

Under torch.compile with dynamic shapes, and under torch.export, a size may be symbolic. Evaluating a condition on it
adds a guard: another graph for each length, and no export with a dynamic length. So a decision by size needs an
answer that is correct, if perhaps not the fastest, for all sizes.
"""

import torch
from torch import Tensor


def surely(condition: bool) -> bool:
    """``condition``, or False if it depends on a symbolic size."""
    if not torch.compiler.is_compiling():
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # slow to import

    return statically_known_true(condition)


def known(size: int) -> bool:
    """Whether the size is a number and not symbolic."""
    if not torch.compiler.is_compiling():
        return True
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return has_static_value(size)


def smaller(size: int, other: int) -> int:
    """min(size, other), without a guard."""
    return torch.sym_min(size, other) if torch.compiler.is_compiling() else min(size, other)


def part(tensor: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``tensor.narrow(dim, start, length)``; a copy if sizes are symbolic, since the view might be the whole tensor."""
    if known(start) and known(length) and known(tensor.shape[dim]):
        # The whole tensor is returned as it is: narrow would cost a copy in the backward pass.
        return tensor if length == tensor.shape[dim] else tensor.narrow(dim, start, length)
    return tensor.index_select(dim, torch.arange(start, start + length, device=tensor.device))


def to_onnx() -> bool:
    """Whether the graph is for torch.onnx.export, which supports only PyTorch's operations."""
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()
