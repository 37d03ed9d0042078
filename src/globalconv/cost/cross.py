"""The cost of each cross mixer, in formulas: how a decoder reads the encoder's output."""

from globalconv.cost import convolutions, layers
from globalconv.cost.convolutions import Convolution
from globalconv.cost.ledger import Ledger
from globalconv.cost.mixers import FLOAT32, Cost, Formulas, backend_of, cost_of
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.cross import CrossAttention, CrossMixer


def cross_cost(cross: CrossMixer, *, batch: int, itemsize: int = FLOAT32) -> Cost:
    """The cost of ``cross`` on ``batch`` targets and memories of its nominal length, both without padding.

    Backward to the target's tokens, the memory and all parameters. Otherwise as ``mixer_cost``; what is kept holds
    both inputs. Raises InputError for a cross mixer that has no formulas.
    """
    return cost_of(cross, _CROSS_MIXERS, batch=batch, itemsize=itemsize)


def _attention(cross: CrossAttention, batch: int, forward: Ledger, backward: Ledger) -> int:
    """As self-attention without a mask, but queries and keys are projected apart."""
    length, width = cross.length, cross.width
    n, rows = batch * length * width, batch * length
    sums = rows * cross.num_heads
    product, table = 2.0 * batch * length**2 * width, length * (width // cross.num_heads) // 2
    # As in self-attention, turned queries are laid out by heads, and so is the result.
    rotary = cross.rotary is not None
    copied = rotary and cross.num_heads > 1

    layers.linear(forward, rows, width, 2 * width)
    layers.linear(forward, rows, width, width)
    for _ in range(2 * rotary):
        layers.rotate(forward, n, table)
    forward.add("attention", (3 * n,), (n, sums), flops=2 * product)
    if copied:
        forward.copy("heads side by side", n)
    layers.linear(forward, rows, width, width)

    layers.linear_backward(backward, rows, width, width)
    backward.add("attention, backward", (5 * n, sums), (3 * n,), flops=5 * product)
    for _ in range(2 * rotary):
        layers.rotate_backward(backward, n, table)
        if copied:
            backward.copy("heads side by side", n)
    backward.copy("keys, values side by side", 2 * n)
    layers.linear_backward(backward, rows, width, width)
    layers.linear_backward(backward, rows, width, 2 * width)
    # Target and memory; keys and values as projected; the queries, and turned keys; the result, and its copy.
    return 2 * n + 2 * n + n + n * rotary + n + n * copied + sums


def _aligned_conv(cross: AlignedConv, batch: int, forward: Ledger, backward: Ledger) -> int:
    length, width = cross.length, cross.width
    n, rows = batch * length * width, batch * length
    conv = Convolution(batch, length, width, 2 * length - 1, "bidirectional")
    backend = backend_of(conv, cross.backend, itemsize=forward.itemsize)

    layers.linear(forward, rows, width, width)
    forward.copy("taps from lag 0 on", conv.taps)
    convolutions.forward(forward, conv, backend)
    layers.linear(forward, rows, width, width)
    forward.pointwise("gate", (2 * n,), n)
    layers.linear(forward, rows, width, width)

    layers.linear_backward(backward, rows, width, width)
    for _ in range(2):
        backward.pointwise("gate, backward", (2 * n,), n)
    layers.linear_backward(backward, rows, width, width)
    convolutions.backward(backward, conv, backend)
    if backend == "spectral":
        backward.copy("to channels last", n)
    backward.copy("taps from lag 0 on", conv.taps)
    layers.linear_backward(backward, rows, width, width)
    # Of the taps the fused kernel keeps what it was given: here not the parameter, but a copy.
    taps = conv.taps if backend == "fused_cpu" else 0
    # Target and memory; the gate, what it multiplies, and the product.
    return 2 * n + 3 * n + convolutions.kept(conv, backend) + taps


_CROSS_MIXERS: Formulas = {
    CrossAttention: _attention,
    AlignedConv: _aligned_conv,
}
