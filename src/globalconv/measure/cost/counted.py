"""What one call of a mixer computes, moves and keeps: counted while it runs on tensors without memory."""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from fractions import Fraction
from functools import cache

import torch
from torch._subclasses import FakeTensorMode

from globalconv.measure.case import Case
from globalconv.measure.cost.contenders import Contender
from globalconv.measure.counting import count_call
from globalconv.measure.roofline import FLOAT32
from globalconv.mixers.catalogue import is_outside
from globalconv.states import begin

COUNTED_LENGTHS = (8, 16, 24)
"""The direct sum runs an operation for each tap. Its cost is a polynomial of degree 2 in the length, so three short
counts give it at every length."""


@dataclass(frozen=True)
class Cost:
    """The cost of one call in eager PyTorch on a CPU, or of one decoded token, the mean of a sequence. None: not known.

    ``moved``: bytes; ``kept``: the bytes that autograd keeps for the backward pass, or that decoding caches.
    """

    flops: float | None
    moved: int | None
    kept: int | None
    parameters: int

    def least_memory(self) -> float | None:
        """About the bytes that a call takes at least; None where that is not known."""
        return None if self.kept is None else FLOAT32 * self.parameters + self.kept


@cache
def cost_of(contender: Contender, case: Case, heads: int | None) -> Cost:
    """What one call of ``contender`` costs in ``case``; of a mixer from outside, the flops that it declares.

    The operations of mixers from outside are not counted, because their flops are not known; they declare their own.
    """
    if case.phase != "decode" and contender.backend == "reference" and case.length > COUNTED_LENGTHS[-1]:
        return _quadratic(lambda length: _counted(contender, case, length, heads), case.length)
    return _counted(contender, case, case.length, heads)


def _counted(contender: Contender, case: Case, length: int, heads: int | None) -> Cost:
    causal = case.mode == "causal"
    outline = contender.outline(case.width, length, causal=causal, heads=heads)
    parameters = sum(parameter.numel() for parameter in outline.parameters())
    if is_outside(contender.mixer):
        declared = case.batch * outline.flops(length) if case.phase == "forward" else None
        return Cost(declared, None, None, parameters)
    with FakeTensorMode():
        mixer = contender.build(case.width, length, causal=causal, heads=heads)
        if case.phase == "decode":
            state = begin(mixer, batch=case.batch, longest=length)
            flops = state.flops()
            of_all = None if flops is None else case.batch * flops
            return Cost(of_all, None, FLOAT32 * state.numbers(), parameters)
        x = torch.empty(case.batch, length, case.width)
        counts, kept = count_call(mixer, x, backward=case.backward)
    return Cost(counts.flops, counts.moved, kept, parameters)


def _quadratic(at: Callable[[int], Cost], length: int) -> Cost:
    """The polynomial through the counts at COUNTED_LENGTHS, exactly."""
    step = COUNTED_LENGTHS[1] - COUNTED_LENGTHS[0]
    s = Fraction(length - COUNTED_LENGTHS[0], step)
    first, second, third = (map(Fraction, astuple(at(n))) for n in COUNTED_LENGTHS)
    flops, *others = (
        a + s * (b - a) + s * (s - 1) / 2 * (c - 2 * b + a)
        for a, b, c in zip(first, second, third, strict=True)
    )
    return Cost(float(flops), *map(int, others))
