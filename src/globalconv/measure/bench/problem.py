"""The tensors of a case of the operator, and the least that it must move and compute."""

from dataclasses import dataclass

import torch
from torch import Tensor

from globalconv.measure.case import Case
from globalconv.measure.roofline import FLOAT32, Speeds
from globalconv.ops.flops import global_conv_flops


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
