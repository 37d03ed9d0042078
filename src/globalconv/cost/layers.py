"""The cost of the common layers: linear maps, GELU, layer norm, residual sums. One function for each direction."""

from globalconv.cost.ledger import Ledger


def linear(ledger: Ledger, rows: int, fan_in: int, fan_out: int) -> None:
    """y = x W + b for ``rows`` rows: one product of matrices that adds the bias as it goes."""
    ledger.add(
        "linear",
        (fan_out, rows * fan_in, fan_in * fan_out),
        (rows * fan_out,),
        flops=2.0 * rows * fan_in * fan_out,
    )


def linear_backward(ledger: Ledger, rows: int, fan_in: int, fan_out: int) -> None:
    """The gradients by x and W, a product each, and by b, a sum."""
    flops = 2.0 * rows * fan_in * fan_out
    ledger.add("linear, by x", (rows * fan_out, fan_in * fan_out), (rows * fan_in,), flops=flops)
    ledger.add("linear, by W", (rows * fan_out, rows * fan_in), (fan_in * fan_out,), flops=flops)
    ledger.add("linear, by b", (rows * fan_out,), (fan_out,))


def gelu(ledger: Ledger, numbers: int) -> None:
    """One pass over the numbers."""
    ledger.add("gelu", (numbers,), (numbers,))


def gelu_backward(ledger: Ledger, numbers: int) -> None:
    """Reads the input again."""
    ledger.add("gelu, backward", (numbers, numbers), (numbers,))


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
