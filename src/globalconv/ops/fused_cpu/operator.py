"""The operator as PyTorch knows it: two custom operations that are closed under differentiation.

    convolve(x, h, d, a, b)              y = b (h * (a x) + d a x)
    differentiate(x, h, d, a, b, dy)     the gradients of <dy, y> by x, h, d, a and b

y is linear in each of x, a, b and of the pair (h, d): *multilinear*. So the derivative of <dy, y> along
tangents u of x, ..., w of b is a sum over the arguments of <dy, y with that argument replaced by its tangent>,
and the gradients of it, which are the second derivatives, are again ``differentiate`` and ``convolve`` with one
argument replaced. No derivative, of whatever order, needs a third operation, or anything but the operands to
be kept.

Registered as PyTorch's own operations are, so that torch.compile and torch.export see one and not its inside;
their derivatives are autograd Functions, because torch.func does not differentiate custom operations.
Importing this imports no Numba; the first call does.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library
from torch.utils.flop_counter import register_flop_formula

from globalconv.ops.contract import Extras, Mode
from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops

X, TAPS, SKIP, GATE_IN, GATE_OUT = range(5)
"""The operands' places."""
ARGUMENTS = ((X,), (TAPS, SKIP), (GATE_IN,), (GATE_OUT,))
"""What y is linear in: each of these alone."""


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """As ``Backend.convolve`` asks."""
    return fused(x, taps, mode, Extras())


def fused(x: Tensor, taps: Tensor, mode: Mode, extras: Extras) -> Tensor:
    """As ``Backend.fused`` asks."""
    if not torch.is_grad_enabled():  # a third of what a short call costs would be autograd's
        return _convolve(x, taps, *extras, mode, True)
    learning = any(operand is not None and operand.requires_grad for operand in (x, taps, *extras))
    y: Tensor = _Convolve.apply(x, taps, *extras, mode, not learning)
    return y


# Defined in two steps, because library.custom_op wraps them in checks that cost as much as a short call.
library.define(
    "globalconv::fused_cpu",
    "(Tensor x, Tensor taps, Tensor? skip, Tensor? gate_in, Tensor? gate_out, str mode, bool reuse) -> Tensor",
)
library.define(
    "globalconv::fused_cpu_backward",
    "(Tensor x, Tensor taps, Tensor? skip, Tensor? gate_in, Tensor? gate_out, Tensor dy, str mode, "
    "bool[] wanted) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
_convolve = torch.ops.globalconv.fused_cpu.default
_differentiate = torch.ops.globalconv.fused_cpu_backward.default


@library.impl("globalconv::fused_cpu", "CPU")
def _(
    x: Tensor,
    taps: Tensor,
    skip: Tensor | None,
    gate_in: Tensor | None,
    gate_out: Tensor | None,
    mode: Mode,
    reuse: bool,
) -> Tensor:
    from globalconv.ops.fused_cpu import launch

    return launch.convolve(x, taps, Extras(skip, gate_in, gate_out), mode, reuse=reuse)


@library.register_fake("globalconv::fused_cpu")
def _(x: Tensor, *others: Any) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@library.impl("globalconv::fused_cpu_backward", "CPU")
def _(
    x: Tensor,
    taps: Tensor,
    skip: Tensor | None,
    gate_in: Tensor | None,
    gate_out: Tensor | None,
    dy: Tensor,
    mode: Mode,
    wanted: list[bool],
) -> tuple[Tensor, ...]:
    """The gradients by each operand; empty where it is not wanted."""
    from globalconv.ops.fused_cpu import launch

    extras = Extras(skip, gate_in, gate_out)
    gradients = launch.differentiate(x, taps, extras, dy, mode, tuple(wanted))
    return tuple(x.new_empty(0) if gradient is None else gradient for gradient in gradients)


@library.register_fake("globalconv::fused_cpu_backward")
def _(x: Tensor, taps: Tensor, *others: Any) -> tuple[Tensor, ...]:
    *_, wanted = others
    shapes = (x.shape, taps.shape, x.shape[2:], x.shape, x.shape)
    return tuple(
        torch.empty(shape if asked else (0,), dtype=x.dtype, device=x.device)
        for shape, asked in zip(shapes, wanted, strict=True)
    )


class _Convolve(torch.autograd.Function):
    """Autograd, and torch.func, of the first operation."""

    @staticmethod
    def forward(  # written out: torch.compile cannot follow *inputs here
        x: Tensor,
        taps: Tensor,
        skip: Tensor | None,
        gate_in: Tensor | None,
        gate_out: Tensor | None,
        mode: str,
        reuse: bool,
    ) -> Tensor:
        return _convolve(x, taps, skip, gate_in, gate_out, mode, reuse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *operands, ctx.mode, _ = inputs
        ctx.save_for_backward(*operands)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:5]
        gradients = _Differentiate.apply(*ctx.saved_tensors, dy, ctx.mode, wanted)
        return *_where(wanted, gradients), None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        return _convolve_many(_Convolve.apply, info, in_dims, *inputs)


@library.register_vmap("globalconv::fused_cpu")
def _(info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
    return _convolve_many(_convolve, info, in_dims, *inputs)


class _Differentiate(torch.autograd.Function):
    """Autograd, and torch.func, of the second operation."""

    @staticmethod
    def forward(
        x: Tensor,
        taps: Tensor,
        skip: Tensor | None,
        gate_in: Tensor | None,
        gate_out: Tensor | None,
        dy: Tensor,
        mode: str,
        wanted: tuple[bool, ...],
    ) -> tuple[Tensor, ...]:
        return _differentiate(x, taps, skip, gate_in, gate_out, dy, mode, list(wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *operands, dy, ctx.mode, ctx.wanted = inputs
        ctx.save_for_backward(*operands, dy)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Tensor | None, ...]:
        *operands, dy = ctx.saved_tensors
        *of_operands, of_dy = ctx.needs_input_grad[:6]
        total: list[Tensor | None] = [None] * 5
        ddy = None
        for argument in ARGUMENTS:
            if not any(ctx.wanted[place] for place in argument):
                continue  # no tangent: that gradient was not asked for
            moved = [
                operand if place not in argument else _tangent(operand, tangents[place], ctx.wanted[place])
                for place, operand in enumerate(operands)
            ]
            wanted = [asked and place not in argument for place, asked in enumerate(of_operands)]
            if any(wanted):
                more = _where(wanted, _Differentiate.apply(*moved, dy, ctx.mode, tuple(wanted)))
                total = [_sum(old, new) for old, new in zip(total, more, strict=True)]
            if of_dy:
                ddy = _sum(ddy, _Convolve.apply(*moved, ctx.mode, False))
        return *total, ddy, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        *operands, dy, mode, wanted = inputs
        many = info.batch_size
        # Each instance has a gradient of the taps of its own, so all of them become channels.
        dy = _signal_as_channels(dy, in_dims[5], many)
        operands = _as_channels(operands, in_dims[:5], many)
        gradients = list(_Differentiate.apply(*operands, dy, mode, wanted))
        for place, asked in enumerate(wanted):
            if not asked:
                gradients[place] = gradients[place].expand(many, 0)
            elif place in (TAPS, SKIP):
                gradients[place] = gradients[place].unflatten(0, (many, -1))
            else:
                gradients[place] = gradients[place].unflatten(2, (many, -1)).movedim(2, 0)
        return tuple(gradients), (0,) * 5


# Known, so that apply() does not derive it anew in every call: 20 us.
_forward: Any
for _forward in (_Convolve.forward, _Differentiate.forward):
    _forward.__signature__ = inspect.signature(_forward)


def _where(wanted: Any, gradients: Any) -> list[Tensor | None]:
    """What was not asked for came as an empty tensor, and is None to autograd."""
    return [gradient if asked else None for asked, gradient in zip(wanted, gradients, strict=True)]


def _tangent(operand: Tensor | None, tangent: Tensor, given: bool) -> Tensor | None:
    """An operand's tangent; zeros for one that stays, and came as an empty tensor."""
    return tangent if given or operand is None else torch.zeros_like(operand)


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None else old if new is None else old + new


# --- a batch of vmap, as more of what there is --------------------------------------------------------


def _convolve_many(
    convolve: Callable[..., Tensor], info: Any, in_dims: Any, *inputs: Any
) -> tuple[Tensor, int]:
    *operands, mode, reuse = inputs
    if in_dims[TAPS] is None and in_dims[SKIP] is None:  # more rows of a batch
        many = [
            operand if place in (TAPS, SKIP) or operand is None else _as_rows(operand, dim, info.batch_size)
            for place, (operand, dim) in enumerate(zip(operands, in_dims[:5], strict=True))
        ]
        return convolve(*many, mode, reuse).unflatten(0, (info.batch_size, -1)), 0
    many = _as_channels(operands, in_dims[:5], info.batch_size)
    return convolve(*many, mode, reuse).unflatten(2, (info.batch_size, -1)), 2


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
        if place in (TAPS, SKIP)
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


# --- what torch.utils.flop_counter counts for the two operations --------------------------------------


@register_flop_formula(torch.ops.globalconv.fused_cpu)
def _(
    x: Any, taps: Any, skip: Any, gate_in: Any, gate_out: Any, mode: Mode, *others: Any, **more: Any
) -> float:
    """The convolution by ``ops.flops``; 2 flops a number for the skip term, and 1 for each gate."""
    batch, length, width = x
    around = 2 * (skip is not None) + (gate_in is not None) + (gate_out is not None)
    once = global_conv_flops(length, _num_taps(taps, mode), width, mode=mode)
    return batch * (once + around * length * width)


@register_flop_formula(torch.ops.globalconv.fused_cpu_backward)
def _(
    x: Any, taps: Any, skip: Any, gate_in: Any, gate_out: Any, dy: Any, mode: Mode, wanted: Any, **more: Any
) -> float:
    """The gradients by ``ops.flops``, and the products around them."""
    batch, length, width = x
    by_x, by_taps, by_skip, by_gate_in, by_gate_out = wanted
    by_signal, by_filter = by_x or by_gate_in, by_taps or by_skip
    around = (
        (gate_out is not None and (by_signal or by_filter))  # dy through the gate
        + (gate_in is not None and (by_filter or by_gate_out))  # the convolution's input, once more
        + 2 * (skip is not None and by_signal)
        + 2 * by_skip
        + (gate_in is not None and by_x)
        + by_gate_in
        + by_gate_out * (1 + 2 * (skip is not None))
    )
    once = global_conv_backward_flops(
        length,
        _num_taps(taps, mode),
        width,
        mode=mode,
        by_signal=by_signal,
        by_taps=by_filter,
        again=by_gate_out,
    )
    return batch * (once + around * length * width)


def _num_taps(taps: Any, mode: Mode) -> int:
    """K of the shape (G, K), or of (G, 2K-1) in bidirectional mode."""
    num_taps: int = taps[1]
    return (num_taps + 1) // 2 if mode == "bidirectional" else num_taps
