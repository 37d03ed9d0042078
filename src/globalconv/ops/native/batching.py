"""torch.vmap of the two operations: a batch of it is more of what there is, rows or channels."""

from typing import Any

from torch import Tensor, library

from globalconv.ops.native.operations import FILTERS, Operations


def register(operations: Operations) -> None:
    """Tell PyTorch how both operations are batched."""
    convolve, differentiate = operations.convolve, operations.differentiate

    @library.register_vmap(convolve)
    def _(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        *operands, mode, reuse = inputs
        if all(in_dims[place] is None for place in FILTERS):  # more rows of a batch
            many = [
                operand if place in FILTERS or operand is None else _as_rows(operand, dim, info.batch_size)
                for place, (operand, dim) in enumerate(zip(operands, in_dims[:5], strict=True))
            ]
            return convolve(*many, mode, reuse).unflatten(0, (info.batch_size, -1)), 0
        many = _as_channels(operands, in_dims[:5], info.batch_size)
        return convolve(*many, mode, reuse).unflatten(2, (info.batch_size, -1)), 2

    @library.register_vmap(differentiate)
    def _(info: Any, in_dims: Any, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        *operands, dy, mode, wanted = inputs
        many = info.batch_size
        # Each instance has a gradient of the taps of its own, so all of them become channels.
        dy = _signal_as_channels(dy, in_dims[5], many)
        operands = _as_channels(operands, in_dims[:5], many)
        gradients = list(differentiate(*operands, dy, mode, wanted))
        for place, asked in enumerate(wanted):
            if not asked:
                gradients[place] = gradients[place].expand(many, 0)
            elif place in FILTERS:
                gradients[place] = gradients[place].unflatten(0, (many, -1))
            else:
                gradients[place] = gradients[place].unflatten(2, (many, -1)).movedim(2, 0)
        return tuple(gradients), (0,) * 5


def _as_rows(tensor: Tensor, dim: int | None, many: int) -> Tensor:
    """(B, L, D) with a batch of vmap at ``dim``, or without one -> (many B, L, D)."""
    if dim is None:
        return tensor.repeat(many, 1, 1)
    return tensor.movedim(dim, 0).flatten(0, 1)


def _as_channels(operands: Any, dims: Any, many: int) -> list[Tensor | None]:
    """All operands, instance by instance, as channels of one convolution."""
    return [
        None
        if operand is None
        else _filters_as_channels(operand, dim, many)
        if place in FILTERS
        else _signal_as_channels(operand, dim, many)
        for place, (operand, dim) in enumerate(zip(operands, dims, strict=True))
    ]


def _signal_as_channels(tensor: Tensor, dim: int | None, many: int) -> Tensor:
    """(B, L, D) with a batch of vmap at ``dim``, or without one -> (B, L, many D)."""
    if dim is None:
        return tensor.repeat(1, 1, many)
    return tensor.movedim(dim, 2).flatten(2, 3)


def _filters_as_channels(tensor: Tensor, dim: int | None, many: int) -> Tensor:
    """(G, ...) with a batch of vmap at ``dim``, or without one -> (many G, ...)."""
    tensor = tensor.expand(many, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return tensor.flatten(0, 1)
