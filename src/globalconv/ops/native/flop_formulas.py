"""What ``torch.utils.flop_counter`` counts for the two operations of a native backend, by ``ops.flops``."""

from typing import Any

from torch.utils.flop_counter import register_flop_formula

from globalconv.ops.flops import global_conv_backward_flops, global_conv_flops
from globalconv.ops.interface import Mode
from globalconv.ops.native.operations import Operations


def register(operations: Operations) -> None:
    """Tell PyTorch's counter what both operations cost."""
    register_flop_formula(operations.convolve.overloadpacket)(_convolve)
    register_flop_formula(operations.differentiate.overloadpacket)(_differentiate)


def _convolve(
    x: Any, taps: Any, skip: Any, gate_in: Any, gate_out: Any, mode: Mode, *others: Any, **more: Any
) -> float:
    """The convolution, 2 flops a number for the skip term, and 1 for each gate; tensors are given as their shapes."""
    batch, length, width = x
    around = 2 * (skip is not None) + (gate_in is not None) + (gate_out is not None)
    once = global_conv_flops(length, _num_taps(taps, mode), width, mode=mode)
    return batch * (once + around * length * width)


def _differentiate(
    x: Any, taps: Any, skip: Any, gate_in: Any, gate_out: Any, dy: Any, mode: Mode, wanted: Any, **more: Any
) -> float:
    """The gradients wanted, and the products around them."""
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
