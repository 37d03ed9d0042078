"""The roofline: the least time that given flops and bytes can take on this machine.

Both speeds are measured in the process that measures the rest. Memory: a copy of a large tensor, read and
written once. Arithmetic: the product of two float32 matrices, which comes close to the peak of the fused
multiply-add; no transform can, as it has more additions than multiplications. So the roofline is optimistic, and what
fits the caches can even pass below its memory's part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from globalconv.measure.interleaved import seconds

COPIED_NUMBERS = 1 << 25
"""128 MB of float32: beyond the caches."""
MATRIX_SIDE = 1024
REPETITIONS = 9
FLOAT32 = torch.float32.itemsize


@dataclass(frozen=True)
class Speeds:
    """What the machine was measured to do on ``threads`` threads: the best of ``REPETITIONS``."""

    threads: int
    bytes_per_second: float
    flops_per_second: float

    def least_seconds(self, *, flops: float, moved: float) -> float:
        """The longer of the two: moving and computing can go on at the same time."""
        return max(moved / self.bytes_per_second, flops / self.flops_per_second)


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
    return Speeds(threads, 2 * FLOAT32 * COPIED_NUMBERS / copying, 2 * MATRIX_SIDE**3 / multiplying)
