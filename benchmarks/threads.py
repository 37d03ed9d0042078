"""How much faster is the operator on two threads than on one, beside torch's own threads?

    python benchmarks/threads.py

Times global_conv's fused kernel on one thread, on two of torch's own (OpenMP), and on two of Python's (which it takes
after a fork), interleaved, in one process; before each call torch runs an operation of its own on its threads, as the
rest of a model does. 8 million numbers in 256 channels, float32, forward, and forward with backward. Prints
medians and quartiles of the ratios within a round, and writes benchmarks/results/threads.json. Takes two minutes;
GLIBC_TUNABLES as in docs/speed.md leaves page faults out.
"""

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.ops import Mode, global_conv
from globalconv.ops.fused_cpu import threads as team

WIDTH, ELEMENTS = 256, 2**23
LENGTHS = (256, 1024, 4096, 16384)
MODES: tuple[Mode, ...] = ("circular", "causal")
WAYS = {"one": (1, False), "torch's two": (2, False), "Python's two": (2, True)}
"""Threads, and whether they are Python's, as after a fork."""


@contextmanager
def on_threads(threads: int, pythons: bool) -> Iterator[None]:
    """Set the threads, and wake torch's."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    team._forked = pythons
    torch.ones(2**20).mul(2).sum()
    try:
        yield
    finally:
        torch.set_num_threads(before)
        team._forked = False


def timed(way: str, call: Callable[[], object]) -> float:
    """Seconds of one call."""
    with on_threads(*WAYS[way]):
        return seconds(call)


def calls(x: Tensor, taps: Tensor, mode: Mode) -> dict[str, Callable[[], object]]:
    """What is timed, by its name."""
    weight = torch.ones_like(x)

    def forward() -> object:
        with torch.no_grad():
            return global_conv(x, taps, mode=mode, backend="fused_cpu")

    def both() -> object:
        return torch.autograd.grad(global_conv(x, taps, mode=mode, backend="fused_cpu"), (x, taps), weight)

    return {"forward": forward, "forward and backward": both}


def main() -> None:
    """Measure, print, record."""
    arguments = options(__doc__, name="threads", rounds=15).parse_args()
    generator = torch.Generator().manual_seed(arguments.seed)
    results = []
    for mode in MODES:
        for length in LENGTHS:
            x = torch.randn(ELEMENTS // (length * WIDTH), length, WIDTH, generator=generator).requires_grad_()
            taps = torch.randn(WIDTH, length, generator=generator).requires_grad_()
            for name, call in calls(x, taps, mode).items():
                times = interleaved({way: partial(timed, way, call) for way in WAYS}, rounds=arguments.rounds)
                row = {"mode": mode, "length": length, "pass": name}
                told = []
                for way, measured in times.items():
                    faster = ratio(times["one"], measured)
                    row[way] = {
                        "ms": round(1e3 * statistics.median(measured), 3),
                        "times_as_fast": round(faster.median, 2),
                        "low_quartile": round(faster.low, 2),
                        "high_quartile": round(faster.high, 2),
                    }
                    told.append(f"{way} {faster.median:.2f} ({faster.low:.2f}-{faster.high:.2f})")
                results.append(row)
                print(mode, length, name, "|", "; ".join(told[1:]), flush=True)
    record = {
        "rounds": arguments.rounds,
        "seed": arguments.seed,
        "glibc_tunables": os.environ.get("GLIBC_TUNABLES", ""),
        "results": results,
    }
    write_record(arguments.output, __doc__, record)


if __name__ == "__main__":
    main()
