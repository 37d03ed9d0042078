"""The operator as PyTorch knows it: two custom operations that are closed under differentiation.

    convolve(x, h)                y = h * x
    differentiate(x, h, dy)       (dx, dh): the gradients of <dy, h * x> by x and by h

All of y, dx, dh are linear in each argument. The gradients of <u, dx> + <v, dh> = <dy, h * u + v * x> by
x and h are again a ``differentiate``, of (u, v, dy), and its gradient by dy is h * u + v * x: so the second
derivative needs no third operation, and no derivative needs anything but the operands to be kept.

Registered with torch.library, so that torch.compile and torch.export see one operation and not its inside;
their derivatives are autograd Functions, because torch.func does not differentiate custom operations.
Importing this imports no Numba; the first call does.
"""

from typing import Any

import torch
from torch import Tensor

from globalconv.ops.contract import Mode


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """As ``Backend.convolve`` asks."""
    y: Tensor = _Convolve.apply(x, taps, mode)
    return y


@torch.library.custom_op("globalconv::fused_cpu", mutates_args=(), device_types="cpu")
def _convolve(x: Tensor, taps: Tensor, mode: str) -> Tensor:
    from globalconv.ops.fused_cpu import launch

    return launch.convolve(x.detach(), taps.detach(), mode)  # type: ignore[arg-type]


@_convolve.register_fake
def _(x: Tensor, taps: Tensor, mode: str) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@torch.library.custom_op("globalconv::fused_cpu_backward", mutates_args=(), device_types="cpu")
def _differentiate(
    x: Tensor, taps: Tensor, dy: Tensor, mode: str, by_x: bool, by_taps: bool
) -> tuple[Tensor, Tensor]:
    """(dx, dtaps); empty where it is not wanted."""
    from globalconv.ops.fused_cpu import launch

    dx, dtaps = launch.differentiate(
        x.detach(),
        taps.detach(),
        dy.detach(),
        mode,  # type: ignore[arg-type]
        by_x=by_x,
        by_taps=by_taps,
    )
    return x.new_empty(0) if dx is None else dx, taps.new_empty(0) if dtaps is None else dtaps


@_differentiate.register_fake
def _(x: Tensor, taps: Tensor, dy: Tensor, mode: str, by_x: bool, by_taps: bool) -> tuple[Tensor, Tensor]:
    return (
        torch.empty(x.shape if by_x else (0,), dtype=x.dtype, device=x.device),
        torch.empty(taps.shape if by_taps else (0,), dtype=x.dtype, device=x.device),
    )


class _Convolve(torch.autograd.Function):
    """Autograd, and torch.func, of the first operation."""

    @staticmethod
    def forward(x: Tensor, taps: Tensor, mode: str) -> Tensor:
        return _convolve(x, taps, mode)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, taps, ctx.mode = inputs
        ctx.save_for_backward(x, taps)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        by_x, by_taps, _ = ctx.needs_input_grad
        dx, dtaps = _Differentiate.apply(x, taps, dy, ctx.mode, by_x, by_taps)
        return dx if by_x else None, dtaps if by_taps else None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, taps: Tensor, mode: str) -> tuple[Tensor, int]:
        x_dim, taps_dim, _ = in_dims
        if taps_dim is None:  # more rows of a batch
            x = x.movedim(x_dim, 0)
            y: Tensor = _Convolve.apply(x.flatten(0, 1), taps, mode)
            return y.unflatten(0, x.shape[:2]), 0
        y = _Convolve.apply(
            _as_channels(x, x_dim, info.batch_size), taps.movedim(taps_dim, 0).flatten(0, 1), mode
        )
        return y.unflatten(2, (info.batch_size, -1)), 2


class _Differentiate(torch.autograd.Function):
    """Autograd, and torch.func, of the second operation."""

    @staticmethod
    def forward(
        x: Tensor, taps: Tensor, dy: Tensor, mode: str, by_x: bool, by_taps: bool
    ) -> tuple[Tensor, Tensor]:
        return _differentiate(x, taps, dy, mode, by_x, by_taps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, taps, dy, ctx.mode, ctx.by_x, ctx.by_taps = inputs
        ctx.save_for_backward(x, taps, dy)

    @staticmethod
    def backward(ctx: Any, u: Tensor, v: Tensor) -> tuple[Tensor | None, ...]:
        x, taps, dy = ctx.saved_tensors
        # A result that was not asked for is empty, and so is what comes back for it.
        u = u if ctx.by_x else torch.zeros_like(x)
        v = v if ctx.by_taps else torch.zeros_like(taps)
        of_x, of_taps, of_dy = ctx.needs_input_grad[:3]
        dx = dtaps = ddy = None
        if of_x or of_taps:
            dx, dtaps = _Differentiate.apply(u, v, dy, ctx.mode, of_x, of_taps)
        if of_dy:
            ddy = _Convolve.apply(u, taps, ctx.mode) + _Convolve.apply(x, v, ctx.mode)
        return dx if of_x else None, dtaps if of_taps else None, ddy, None, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, x: Tensor, taps: Tensor, dy: Tensor, mode: str, by_x: bool, by_taps: bool
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        x_dim, taps_dim, dy_dim = in_dims[:3]
        many = info.batch_size
        # Each instance has a gradient of the taps of its own, so all of them become channels.
        x, dy = _as_channels(x, x_dim, many), _as_channels(dy, dy_dim, many)
        taps = taps.expand(many, *taps.shape) if taps_dim is None else taps.movedim(taps_dim, 0)
        dx, dtaps = _Differentiate.apply(x, taps.flatten(0, 1), dy, mode, by_x, by_taps)
        dx = dx.unflatten(2, (many, -1)).movedim(2, 0) if by_x else dx.expand(many, 0)
        dtaps = dtaps.unflatten(0, (many, -1)) if by_taps else dtaps.expand(many, 0)
        return (dx, dtaps), (0, 0)


def _as_channels(tensor: Tensor, dim: int | None, many: int) -> Tensor:
    """(B, L, D) with a batch of vmap at ``dim``, or without one -> (B, L, many D), instance by instance."""
    if dim is None:
        return tensor.repeat(1, 1, many)
    return tensor.movedim(dim, 2).flatten(2, 3)
