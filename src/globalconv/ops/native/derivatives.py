"""The derivatives of the two operations, in either direction and of any order.

y is linear in each of x, a, b and of the pair (h, d): *multilinear*. So its derivative along tangents u of x, ...,
w of b is a sum over the arguments of y with that argument replaced by its tangent; the derivative of <dy, y>
is the same sum; and the gradients of that, the second derivatives, are again ``differentiate`` and ``convolve`` with
one argument replaced. No derivative, of whatever order, needs a third operation, or anything but the operands to
be kept.

They are PyTorch's rules for the operations themselves, found by whoever meets one: eager code, torch.func, a compiled
or exported graph. PyTorch's ``register_autograd`` knows neither torch.func nor forward mode.
An autograd Function above the operations would be left out by graphs that are differentiated later, and in forward
mode by torch.compile (pytorch/pytorch#192985): a tangent of zero, in silence.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, library
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd import forward_ad
from torch.autograd.function import _SingleLevelFunction

from globalconv.ops.native.operations import GATE_IN, GATE_OUT, SKIP, TAPS, Operands, Operations, X

ARGUMENTS = ((X,), (TAPS, SKIP), (GATE_IN,), (GATE_OUT,))
"""What y is linear in: each of these alone."""

_unpack_dual = torch._VF._unpack_dual
"""What ``forward_ad.unpack_dual`` calls, at the only level there is: graphs open it without forward_ad knowing.
Found once, which else takes longer than the call."""


class _Convolve(_SingleLevelFunction):
    """What one transform of torch.func, or autograd alone, makes of the first operation."""

    @staticmethod
    def forward(*inputs: Any) -> Tensor:
        *given, _, keys, operations = inputs
        return _below(operations.convolve, keys, *given, False)  # taps that learn do not come again

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *operands, ctx.mode, _, _, ctx.operations = inputs
        _keep(ctx, operands)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None) -> tuple[Tensor | None, ...]:
        wanted = list(ctx.needs_input_grad[:5])
        if dy is None:
            return (None,) * 9
        gradients = ctx.operations.differentiate(*ctx.saved_tensors, dy, ctx.mode, wanted)
        return *_where(wanted, gradients), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor | None:
        total = None
        with forward_ad._set_fwd_grad_enabled(True):  # else a transform around this one would see constants
            for _, moved in _moved(_primals(ctx), tangents):
                total = _sum(total, ctx.operations.convolve(*moved, ctx.mode, False))
        return total


class _Differentiate(_SingleLevelFunction):
    """The same for the second operation."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        *given, keys, operations = inputs
        return _below(operations.differentiate, keys, *given)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        *operands, dy, ctx.mode, ctx.wanted, _, ctx.operations = inputs
        _keep(ctx, [*operands, dy])
        unwanted = (empty for empty, asked in zip(output, ctx.wanted, strict=True) if not asked)
        ctx.mark_non_differentiable(*unwanted)

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        *operands, dy = ctx.saved_tensors
        *of_operands, of_dy = ctx.needs_input_grad[:6]
        total: Operands = [None] * 5
        ddy = None
        for argument, moved in _moved(operands, tangents):
            total = _gradients(ctx, total, moved, dy, of_operands, argument)
            if of_dy:
                ddy = _sum(ddy, ctx.operations.convolve(*moved, ctx.mode, False))
        return *total, ddy, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
        total: Operands = [None] * 5
        with forward_ad._set_fwd_grad_enabled(True):
            *operands, dy = _primals(ctx)
            of_operands, ddy = tangents[:5], tangents[5]
            for argument, moved in _moved(operands, of_operands):
                total = _gradients(ctx, total, moved, dy, ctx.wanted, argument)
            if ddy is not None:
                total = _gradients(ctx, total, operands, ddy, ctx.wanted)
            return tuple(
                None if not asked else _zeros(operand) if tangent is None else tangent
                for tangent, operand, asked in zip(total, operands, ctx.wanted, strict=True)
            )


def _below(operation: Any, keys: Any, *inputs: Any) -> Any:
    """The operation without its derivatives here, and with those of the transforms further out."""
    if not torch._C._are_functorch_transforms_active():
        # Not by switching autograd off: a signal handler may want it.
        return operation.redispatch(keys & torch._C._after_autograd_keyset, *inputs)
    with torch._C._AutoDispatchBelowAutograd(), torch.enable_grad(), forward_ad._set_fwd_grad_enabled(True):
        return operation(*inputs)


def _rule(operation: Any, function: Any, operations: Operations) -> Callable[..., Any]:
    def rule(keys: Any, *inputs: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            # Called once for each transform of torch.func, and it is to be that one's rule.
            with enable_single_level_autograd_function():
                return function.apply(*inputs, keys, operations)
        learning = torch.is_grad_enabled() and torch._C._any_requires_grad(*inputs)
        if learning or any(_has_tangent(given) for given in inputs):
            return function.apply(*inputs, keys, operations)
        # As ``_below``: a Function costs more than it would take a short call.
        return operation.redispatch(keys & torch._C._after_autograd_keyset, *inputs)

    return rule


def _has_tangent(given: Any) -> bool:
    return isinstance(given, Tensor) and _unpack_dual(given, 0)[1] is not None


_library = library.Library("globalconv", "FRAGMENT")
"""Rules end with the object that they were registered by."""


def register(operations: Operations) -> None:
    """Tell PyTorch how both operations are differentiated."""
    for operation, function in (
        (operations.convolve, _Convolve),
        (operations.differentiate, _Differentiate),
    ):
        _library.impl(operation, _rule(operation, function, operations), "Autograd", with_keyset=True)


def _keep(ctx: Any, tensors: Operands) -> None:
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)
    ctx.set_materialize_grads(False)


def _primals(ctx: Any) -> list[Any]:
    """The kept tensors without the tangents that they have themselves."""
    return [tensor if tensor is None else _unpack_dual(tensor, 0)[0] for tensor in ctx.saved_tensors]


def _moved(operands: Any, tangents: Any) -> list[tuple[tuple[int, ...], Operands]]:
    """For each argument that has a tangent: its places, and the operands with the tangent in its place."""
    return [
        (
            argument,
            [
                operand if place not in argument else _zeros(operand) if tangent is None else tangent
                for place, (operand, tangent) in enumerate(zip(operands, tangents[:5], strict=True))
            ],
        )
        for argument in ARGUMENTS
        if any(tangents[place] is not None for place in argument)
    ]


def _gradients(
    ctx: Any, total: Operands, operands: Any, dy: Tensor, wanted: Any, but: tuple[int, ...] = ()
) -> Operands:
    """``total`` and the gradients of <dy, y> by the operands wanted, without those at the places ``but``."""
    asked = [want and place not in but for place, want in enumerate(wanted)]
    if not any(asked):
        return total
    more = _where(asked, ctx.operations.differentiate(*operands, dy, ctx.mode, asked))
    return [_sum(old, new) for old, new in zip(total, more, strict=True)]


def _where(wanted: Any, gradients: Any) -> Operands:
    """What was not asked for came as an empty tensor, and is None to autograd."""
    return [gradient if asked else None for asked, gradient in zip(wanted, gradients, strict=True)]


def _zeros(operand: Tensor | None) -> Tensor | None:
    return None if operand is None else torch.zeros_like(operand)


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return new if old is None else old if new is None else old + new
