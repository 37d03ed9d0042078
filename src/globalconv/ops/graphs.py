"""What must be known of a graph under construction: the sizes that it leaves open, and whether it goes to ONNX.

Under torch.compile with dynamic shapes, and under torch.export, a size may stand for any number. To ask a condition on
it for its truth is a guard: another graph for each length, and no export with a dynamic length. What is decided
by size must therefore have an answer that is right, if perhaps not the fastest, for all sizes.
"""

import torch
from torch import Tensor


def surely(condition: bool) -> bool:
    """``condition``, and False where it hangs on a size that is open."""
    if not torch.compiler.is_compiling():
        return condition
    from torch.fx.experimental.symbolic_shapes import statically_known_true  # slow to import

    return statically_known_true(condition)


def known(size: int) -> bool:
    """Whether the size is a number, and not open."""
    if not torch.compiler.is_compiling():
        return True
    from torch.fx.experimental.symbolic_shapes import has_static_value

    return has_static_value(size)


def smaller(size: int, other: int) -> int:
    """min(size, other), without asking which it is."""
    return torch.sym_min(size, other) if torch.compiler.is_compiling() else min(size, other)


def part(tensor: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``tensor.narrow(dim, start, length)``; a copy where sizes are open, since a view may be whole."""
    if known(start) and known(length) and known(tensor.shape[dim]):
        # What is whole stays as it is: narrow would cost a copy on the way back.
        return tensor if length == tensor.shape[dim] else tensor.narrow(dim, start, length)
    return tensor.index_select(dim, torch.arange(start, start + length, device=tensor.device))


def to_onnx() -> bool:
    """Whether the graph is for torch.onnx.export, which knows PyTorch's own operations only."""
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()
