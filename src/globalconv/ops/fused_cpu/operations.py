"""Two operations of PyTorch's, closed under differentiation, and what they compute where nothing is transformed.

    convolve(x, h, d, a, b)              y = b (h * (a x) + d a x)
    differentiate(x, h, d, a, b, dy)     the gradients of <dy, y> by x, h, d, a and b

Registered as PyTorch's own operations are, so that torch.compile and torch.export see one and not its inside.
Importing this imports no Numba; the first call does.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, library
from torch.utils.flop_counter import register_flop_formula

from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops
from globalconv.ops.interface import Extras, Mode, useful_taps

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
convolve = torch.ops.globalconv.fused_cpu.default
differentiate = torch.ops.globalconv.fused_cpu_backward.default


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

    taps = useful_taps(taps, x.shape[1], mode)
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
    useful = useful_taps(taps, x.shape[1], mode)
    dx, dtaps, *others = launch.differentiate(x, useful, extras, dy, mode, tuple(wanted))
    missing = taps.shape[1] - useful.shape[1]
    if dtaps is not None and missing:
        first = missing // 2 if mode == "bidirectional" else 0
        dtaps = F.pad(dtaps, (first, missing - first))
    return tuple(x.new_empty(0) if gradient is None else gradient for gradient in (dx, dtaps, *others))


@library.register_fake("globalconv::fused_cpu_backward")
def _(x: Tensor, taps: Tensor, *others: Any) -> tuple[Tensor, ...]:
    *_, wanted = others
    shapes = (x.shape, taps.shape, x.shape[2:], x.shape, x.shape)
    return tuple(
        torch.empty(shape if asked else (0,), dtype=x.dtype, device=x.device)
        for shape, asked in zip(shapes, wanted, strict=True)
    )


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
