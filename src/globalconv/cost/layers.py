"""The cost of the common layers: linear maps, nonlinearities, embeddings, rotary turns, norms, residual sums.

One function for each direction.
"""

import torch

from globalconv.cost.ledger import Ledger
from globalconv.models.block import Activation

INDEX_BYTES = torch.int64.itemsize


def linear(ledger: Ledger, rows: int, fan_in: int, fan_out: int, *, bias: bool = True) -> None:
    """y = x W + b for ``rows`` rows: one product of matrices that adds the bias as it goes."""
    ledger.add(
        "linear",
        (bias * fan_out, rows * fan_in, fan_in * fan_out),
        (rows * fan_out,),
        flops=2.0 * rows * fan_in * fan_out,
    )


def linear_backward(ledger: Ledger, rows: int, fan_in: int, fan_out: int, *, bias: bool = True) -> None:
    """The gradients by x and W, a product each, and by b, a sum."""
    flops = 2.0 * rows * fan_in * fan_out
    ledger.add("linear, by x", (rows * fan_out, fan_in * fan_out), (rows * fan_in,), flops=flops)
    ledger.add("linear, by W", (rows * fan_out, rows * fan_in), (fan_in * fan_out,), flops=flops)
    if bias:
        ledger.add("linear, by b", (rows * fan_out,), (fan_out,))


def rotate(ledger: Ledger, numbers: int, table: int) -> None:
    """Turn pairs of numbers by the angles of a ``table`` of so many cosines, and as many sines."""
    for _ in range(4):
        ledger.pointwise("rotate", (numbers // 2, table), numbers // 2)
    for _ in range(2):
        ledger.pointwise("rotate", (numbers,), numbers // 2)
    ledger.copy("rotate", numbers)


def rotate_backward(ledger: Ledger, numbers: int, table: int) -> None:
    """The turn the other way round."""
    ledger.copy("rotate, backward: negate", numbers // 2)
    rotate(ledger, numbers, table)


def nonlinear(ledger: Ledger, numbers: int, name: Activation) -> None:
    """One pass over the numbers."""
    ledger.add(name, (numbers,), (numbers,))


def nonlinear_backward(ledger: Ledger, numbers: int, name: Activation) -> None:
    """Reads what is kept again: GELU's input, or ReLU's result."""
    ledger.add(f"{name}, backward", (numbers, numbers), (numbers,))


def channel_mlp(ledger: Ledger, rows: int, width: int, hidden: int, name: Activation) -> None:
    """Two linear maps, a nonlinearity between."""
    linear(ledger, rows, width, hidden)
    nonlinear(ledger, rows * hidden, name)
    linear(ledger, rows, hidden, width)


def channel_mlp_backward(ledger: Ledger, rows: int, width: int, hidden: int, name: Activation) -> None:
    """The same the other way round."""
    linear_backward(ledger, rows, width, hidden)
    nonlinear_backward(ledger, rows * hidden, name)
    linear_backward(ledger, rows, hidden, width)


def channel_mlp_kept(rows: int, width: int, hidden: int, name: Activation) -> int:
    """Numbers that autograd keeps: the input, GELU's input and its result; ReLU needs its result alone."""
    return rows * width + (2 if name == "gelu" else 1) * rows * hidden


def embedding(ledger: Ledger, rows: int, width: int) -> None:
    """The rows of a table for so many tokens."""
    ledger.add("embedding", (_tokens(ledger, rows), rows * width), (rows * width,))


def embedding_backward(ledger: Ledger, rows: int, width: int, *, vocabulary: int) -> None:
    """A gradient of the whole table."""
    ledger.add("embedding, backward", (_tokens(ledger, rows), rows * width), (vocabulary * width,))


def _tokens(ledger: Ledger, rows: int) -> int:
    """As many numbers as fill the bytes of so many token numbers."""
    return rows * INDEX_BYTES // ledger.itemsize


def layer_norm(ledger: Ledger, rows: int, width: int) -> None:
    """Keeps each row's mean and the inverse of its deviation for the backward pass."""
    numbers = rows * width
    ledger.add("norm", (numbers, 2 * width), (numbers, 2 * rows))


def layer_norm_backward(ledger: Ledger, rows: int, width: int) -> None:
    """The gradients by the input, the weight and the bias."""
    numbers = rows * width
    ledger.add("norm, backward", (2 * numbers, 2 * rows, 2 * width), (numbers, 2 * width))


def layer_norm_kept(rows: int, width: int) -> int:
    """Numbers that autograd keeps: the input, and two for each row."""
    return rows * width + 2 * rows


def add(ledger: Ledger, numbers: int) -> None:
    """A residual sum; also two gradients of one tensor that meet."""
    ledger.pointwise("add", (2 * numbers,), numbers)
