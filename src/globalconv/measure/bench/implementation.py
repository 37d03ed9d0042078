"""The operator's problem in a case, what it must move and compute at least, and an implementation that solves it.

An implementation is prepared before the clock starts, called under it, and its result is read back after.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalconv.measure.case import Case
from globalconv.measure.roofline import FLOAT32, Speeds
from globalconv.ops.flops import direct_flops, global_conv_flops, spectral_flops


@dataclass(frozen=True)
class Problem:
    """A case's tensors: ``operands`` are what ``global_conv`` takes, by name, ``upstream`` is y's gradient."""

    case: Case
    operands: dict[str, Tensor]
    upstream: Tensor


def problem_of(case: Case, *, seed: int, dtype: torch.dtype = torch.float32) -> Problem:
    """Tensors for ``case``, the same ones for the same seed; y has about the size of x."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    shape = (case.batch, case.length, case.width)
    operands = {"x": draw(*shape), "taps": draw(case.width, case.num_taps) / case.num_taps**0.5}
    if case.gated:
        operands |= {"skip": draw(case.width), "gate_in": draw(*shape), "gate_out": draw(*shape)}
    return Problem(case, operands, draw(*shape))


def bytes_to_move(case: Case) -> float:
    """Bytes of all inputs read once and all results written once, in the forward and in the backward pass.

    Forward reads x and writes y; backward reads y's gradient and x, and writes x's. Gates are read in both
    passes, and their gradients written. Taps and skip likewise, once for the whole batch.
    """
    gates = 2 if case.gated else 0
    large = 2 + gates
    small = case.num_taps + (1 if case.gated else 0)
    if case.backward:
        large += 3 + 2 * gates
        small *= 3
    return FLOAT32 * (large * case.numbers + small * case.width)


def flops_to_compute(case: Case) -> float:
    """Flops by the cheaper formula of ``ops.flops``, twice that for forward and backward.

    Backward needs two more transforms for each sequence, y's gradient down and x's up, as x's spectrum could
    be kept. The filter's transforms are shared by the batch and not counted, nor are the gates' products.
    """
    once = global_conv_flops(case.length, case.length, case.width, mode=case.mode)
    return case.batch * once * (2 if case.backward else 1)


def least_seconds(case: Case, speeds: Speeds) -> float:
    """The roofline of ``case``: the least time that this machine can take."""
    return speeds.least_seconds(flops=flops_to_compute(case), moved=bytes_to_move(case))


@dataclass(frozen=True)
class Prepared:
    """One case, ready to be timed.

    ``outcome`` reads what ``call`` returned: y and the gradients by the operands' names, laid out as
    ``global_conv``'s; nothing for one that computes something else.
    """

    call: Callable[[], Any]
    outcome: Callable[[Any], dict[str, Tensor]]


def transform_operations(case: Case) -> float:
    """Flops of the convolution by transforms; three convolutions for both passes."""
    flops = spectral_flops(case.length, case.width, wrapped=case.mode == "circular")
    return case.batch * flops * (3 if case.backward else 1)


def direct_operations(case: Case) -> float:
    """Flops of the direct sum; three of them for both passes."""
    return case.batch * direct_flops(case.length, case.num_taps, case.width) * (3 if case.backward else 1)


@dataclass(frozen=True)
class Implementation:
    """The operator by one of its backends, or by a peer.

    ``obstacle`` is why it cannot run here at all, ``refusal`` why it does not compute a case. ``operations``
    need only grow as the time does: from them and a shorter case the time of a longer one is estimated.
    """

    name: str
    label: str
    """As a legend calls it."""
    what: str
    prepare: Callable[[Problem], Prepared]
    obstacle: str | None = None
    refusal: Callable[[Case], str | None] = lambda _: None
    operations: Callable[[Case], float] = transform_operations


def torch_call(
    function: Callable[..., Tensor],
    leaves: Sequence[Tensor],
    upstream: Tensor,
    *,
    backward: bool,
    learning: bool = False,
) -> Callable[[], tuple[Tensor, ...]]:
    """A call that returns function(*leaves), and with ``backward`` its gradients by all leaves.

    ``learning``: the forward pass of a training step, though there is no backward pass.
    """
    own = [leaf.detach().requires_grad_(backward or learning) for leaf in leaves]

    def call() -> tuple[Tensor, ...]:
        with torch.set_grad_enabled(backward or learning):
            y = function(*own)
        return (y.detach(), *torch.autograd.grad(y, own, upstream)) if backward else (y.detach(),)

    return call
