"""The least time that a case can take here: what must be moved and computed, over what the machine can do.

Both speeds are measured in the process that measures the ways. Memory: a copy of a large tensor, read and
written once. Arithmetic: the product of two float32 matrices, which comes close to the peak of the fused
multiply-add; no transform can, as it has more additions than multiplications. The floor is thus low, and a
case whose tensors fit the caches can even pass below its memory's part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from globalconv.bench.case import Case
from globalconv.ops.flops import global_conv_flops
from globalconv.turns import seconds

COPIED_NUMBERS = 1 << 25
"""128 MB of float32: beyond the caches."""
MATRIX_SIDE = 1024
REPETITIONS = 9
BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class Speeds:
    """What the machine was measured to do on ``threads`` threads: the best of ``REPETITIONS``."""

    threads: int
    bytes_per_second: float
    flops_per_second: float


def measure_speeds(threads: int, *, device: str = "cpu") -> Speeds:
    """Time a copy and a matrix product on ``device``, a CPU with as many threads as torch now has."""
    source = torch.ones(COPIED_NUMBERS, device=device)
    target = torch.zeros_like(source)
    square = torch.ones(MATRIX_SIDE, MATRIX_SIDE, device=device)
    product = torch.empty_like(square)

    def best(call: Callable[[], object]) -> float:
        def waited() -> None:
            call()
            if source.is_cuda:
                torch.cuda.synchronize(device)

        return min(seconds(waited) for _ in range(REPETITIONS))

    copying = best(lambda: target.copy_(source))
    multiplying = best(lambda: torch.mm(square, square, out=product))
    return Speeds(threads, 2 * BYTES * COPIED_NUMBERS / copying, 2 * MATRIX_SIDE**3 / multiplying)


def bytes_to_move(case: Case) -> float:
    """Bytes of all inputs read once and all results written once, forward and backward each for itself.

    Forward reads x and writes y; backward reads y's gradient and x, and writes x's. Gates are read in both
    passes, and their gradients written. Taps and skip likewise, once for the whole batch.
    """
    gates = 2 if case.gated else 0
    large = 2 + gates
    small = case.num_taps + (1 if case.gated else 0)
    if case.backward:
        large += 3 + 2 * gates
        small *= 3
    return BYTES * (large * case.numbers + small * case.width)


def flops_to_compute(case: Case) -> float:
    """Flops by the cheaper formula of ``ops.flops``, twice that for forward and backward.

    Backward needs two more transforms for each sequence, y's gradient down and x's up, as x's spectrum could
    be kept. The filter's transforms are shared by the batch and not counted, nor are the gates' products.
    """
    once = global_conv_flops(case.length, case.length, case.width, mode=case.mode)
    return case.batch * once * (2 if case.backward else 1)


def floor_seconds(case: Case, speeds: Speeds) -> float:
    """The longer of the two: moving and computing can go on at the same time."""
    return max(
        bytes_to_move(case) / speeds.bytes_per_second, flops_to_compute(case) / speeds.flops_per_second
    )
