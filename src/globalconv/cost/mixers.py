"""The cost of each mixer of the catalogue, in formulas: flops, bytes moved, parameters, activation memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from globalconv.cost import convolutions, layers
from globalconv.cost.convolutions import Convolution
from globalconv.cost.ledger import Ledger
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer, TokenMLP
from globalconv.ops import choose_backend

FLOAT32 = 4


@dataclass(frozen=True)
class Cost:
    """What one pass forward, and one back to all inputs and parameters, take.

    ``activations`` are the bytes that autograd keeps from the forward pass for the backward pass, each memory
    once; parameters and buffers, which are there anyway, do not count, the layer's input does.
    """

    forward: Ledger
    backward: Ledger
    activations: int
    parameters: int


def mixer_cost(mixer: Mixer, *, batch: int, itemsize: int = FLOAT32) -> Cost:
    """The cost of ``mixer`` on ``batch`` sequences of its nominal length, in eager PyTorch on a CPU.

    ``itemsize``: bytes of a number, 4 or 8. Exact from batch 2, length 3 and a head width of 3 on; below, PyTorch
    takes other ways and makes a few copies more or fewer (docs/costs.md). Raises InputError for a mixer that has
    no formulas: there are those of the catalogue, attention's with rotary positions or none.
    """
    return cost_of(mixer, _MIXERS, batch=batch, itemsize=itemsize)


Formulas = Mapping[type[nn.Module], Callable[[Any, int, Ledger, Ledger], int]]
"""A layer's exact type -> what enters its operations, given the batch, into the two ledgers, and returns the numbers
that autograd keeps."""


def cost_of(layer: nn.Module, formulas: Formulas, *, batch: int, itemsize: int) -> Cost:
    """The cost of ``layer`` by the formulas of its type. Raises InputError where there are none."""
    if type(layer) not in formulas:
        raise InputError(
            f"there are no formulas for the cost of {type(layer).__name__}; they are known for "
            f"{', '.join(kind.__name__ for kind in formulas)}. globalconv.cost.count counts any module's."
        )
    forward, backward = Ledger(itemsize), Ledger(itemsize)
    kept = formulas[type(layer)](layer, batch, forward, backward)
    parameters = sum(parameter.numel() for parameter in layer.parameters())
    return Cost(forward, backward, itemsize * kept, parameters)


def _attention(mixer: Attention, batch: int, forward: Ledger, backward: Ledger) -> int:
    """Scaled dot products by the flash kernel: pairs that the mask hides cost no flops.

    Forward, two products (scores, mixing); backward, five: the scores again, and four gradients. It keeps the
    queries, keys, values and results, and one number for each query and head.
    """
    if mixer.positions not in ("rotary", "none"):
        raise InputError(f"there are formulas for rotary positions and for none, not for {mixer.positions}.")
    length, width = mixer.length, mixer.width
    n, rows = batch * length * width, batch * length
    sums = rows * mixer.num_heads
    pairs = length * (length + 1) / 2 if mixer.causal else float(length**2)
    product = 2.0 * batch * pairs * width
    rotary = mixer.positions == "rotary"
    # The kernel lays its result out as the queries: turned ones by heads, others as the projection left them.
    copied = rotary and mixer.num_heads > 1

    layers.linear(forward, rows, width, 3 * width)
    for _ in range(2 * rotary):
        layers.rotate(forward, n, length * mixer.head_width // 2)
    forward.add("attention", (3 * n,), (n, sums), flops=2 * product)
    if copied:
        forward.copy("heads side by side", n)
    layers.linear(forward, rows, width, width)

    layers.linear_backward(backward, rows, width, width)
    backward.add("attention, backward", (5 * n, sums), (3 * n,), flops=5 * product)
    for _ in range(2 * rotary):
        layers.rotate_backward(backward, n, length * mixer.head_width // 2)
        if copied:
            backward.copy("heads side by side", n)
    backward.copy("queries, keys, values side by side", 3 * n)
    layers.linear_backward(backward, rows, width, 3 * width)
    # x; the projection, of which the values are a part; turned queries and keys; the result, and its copy.
    return n + 3 * n + 2 * n * rotary + n + n * copied + sums


def _global_conv(mixer: GlobalConv, batch: int, forward: Ledger, backward: Ledger) -> int:
    _check_own_filters(mixer)
    conv = Convolution(batch, mixer.length, mixer.width, mixer.filter.num_taps, mixer.mode, skip=True)
    backend = backend_of(conv, mixer.backend, itemsize=forward.itemsize)
    convolutions.forward(forward, conv, backend)
    convolutions.backward(backward, conv, backend)
    return convolutions.kept(conv, backend)


def _gated_conv(mixer: GatedConv, batch: int, forward: Ledger, backward: Ledger) -> int:
    _check_own_filters(mixer)
    length, width, rows = mixer.length, mixer.width, batch * mixer.length
    n = rows * width
    short = Convolution(batch, length, 3 * width, mixer.short_filter.num_taps, mixer.short_mode)
    long = Convolution(batch, length, width, mixer.filter.num_taps, mixer.mode, skip=True, gated=True)
    by_short = backend_of(short, mixer.backend, itemsize=forward.itemsize)
    by_long = backend_of(long, mixer.backend, itemsize=forward.itemsize)

    layers.linear(forward, rows, width, 3 * width)
    convolutions.forward(forward, short, by_short)
    convolutions.forward(forward, long, by_long)
    layers.linear(forward, rows, width, width)

    layers.linear_backward(backward, rows, width, width)
    convolutions.backward(backward, long, by_long)
    backward.copy("query, key, value side by side", 3 * n)
    convolutions.backward(backward, short, by_short)
    if by_short == "spectral":
        backward.copy("to channels last", 3 * n)
    layers.linear_backward(backward, rows, width, 3 * width)
    # Both linear maps keep their inputs.
    return 2 * n + convolutions.kept(short, by_short) + convolutions.kept(long, by_long)


def _check_own_filters(mixer: GlobalConv | GatedConv) -> None:
    if mixer.filter.channels != mixer.width:
        raise InputError(
            "there are no formulas for filters that channels share; globalconv.cost.count counts any module's."
        )


def _token_mlp(mixer: TokenMLP, batch: int, forward: Ledger, backward: Ledger) -> int:
    length, hidden = mixer.length, mixer.hidden
    rows = batch * mixer.width
    n, wide, weights = rows * length, rows * hidden, length * hidden
    flops = 2.0 * rows * weights

    forward.copy("to tokens last", n)
    forward.add("expand", (n, weights), (wide,), flops=flops)
    forward.pointwise("bias", (wide, hidden), wide)
    layers.nonlinear(forward, wide, "gelu")
    layers.linear(forward, rows, hidden, length)

    backward.copy("to tokens last", n)
    layers.linear_backward(backward, rows, hidden, length)
    backward.copy("rows of the bias", length)
    backward.copy("rows of the weight", weights)
    layers.nonlinear_backward(backward, wide, "gelu")
    backward.add("bias, backward", (wide,), (hidden,))
    backward.add("expand, by W", (wide, n), (weights,), flops=flops)
    backward.add("expand, by x", (wide, weights), (n,), flops=flops)
    return n + 2 * wide


def backend_of(conv: Convolution, name: str | None, *, itemsize: int) -> str:
    """The backend that computes ``conv`` on a CPU: ``name``, or the one that is chosen where none is named."""
    if name is not None:
        return name
    return choose_backend(
        device="cpu",
        dtype=torch.float32 if itemsize == FLOAT32 else torch.float64,
        length=conv.length,
        num_taps=conv.num_taps,
        mode=conv.mode,
        batch=conv.batch,
        width=conv.width,
    ).name


_MIXERS: Formulas = {
    Attention: _attention,
    GlobalConv: _global_conv,
    GatedConv: _gated_conv,
    TokenMLP: _token_mlp,
}
