"""What does it cost to compute a filter's taps, next to the convolution with them?

    OMP_NUM_THREADS=1 python benchmarks/filters.py

For every filter, at length 4096, 256 channels and batch 8, causal: the taps alone and the convolution alone, forward
and backward, interleaved in one process on one thread, in seconds of processor time. Prints the median and quartiles of
their ratio within a round, and writes them to benchmarks/results/filters.json. Takes about two minutes.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from common import options, write_record
from globalconv.filters import FILTERS
from globalconv.measure.interleaved import interleaved, ratio
from globalconv.ops import global_conv

LENGTH, CHANNELS, BATCH = 4096, 256, 8
BAR = 0.1


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Seconds of processor time of one call."""

    def measure() -> float:
        started = time.process_time()
        call()
        return time.process_time() - started

    return measure


def compare(name: str, *, rounds: int, seed: int) -> dict[str, str | float]:
    """Milliseconds of the taps and of the convolution, forward and backward, and the ratio."""
    torch.manual_seed(seed)
    made = FILTERS[name](CHANNELS, LENGTH)
    weights = list(made.parameters())
    x = torch.randn(BATCH, LENGTH, CHANNELS, requires_grad=True)
    taps = made(LENGTH).detach().requires_grad_()
    by_taps, by_result = torch.randn_like(taps), torch.randn_like(x)

    def of_taps() -> tuple[Tensor, ...]:
        emitted = made(LENGTH)
        return torch.autograd.grad(emitted, weights, by_taps) if emitted.grad_fn else ()

    def of_convolution() -> tuple[Tensor, ...]:
        return torch.autograd.grad(global_conv(x, taps, mode="causal"), (x, taps), by_result)

    of_taps()
    of_convolution()
    seconds = interleaved({"taps": timed(of_taps), "convolution": timed(of_convolution)}, rounds=rounds)
    share = ratio(seconds["taps"], seconds["convolution"])
    return {
        "filter": name,
        "taps_ms": round(1e3 * statistics.median(seconds["taps"]), 3),
        "convolution_ms": round(1e3 * statistics.median(seconds["convolution"]), 3),
        "ratio": round(share.median, 4),
        "ratio_low_quartile": round(share.low, 4),
        "ratio_high_quartile": round(share.high, 4),
    }


def main() -> None:
    """Measure, print, write."""
    arguments = options(__doc__, name="filters", rounds=15).parse_args()
    torch.set_num_threads(1)
    print(f"{'filter':14}{'taps':>10}{'conv':>10}{'ratio':>9}  (quartiles); the bar is {BAR}")
    rows = []
    for name in FILTERS:
        row = compare(name, rounds=arguments.rounds, seed=arguments.seed)
        rows.append(row)
        print(
            f"{name:14}{row['taps_ms']:>7.2f} ms{row['convolution_ms']:>7.1f} ms{row['ratio']:>9.3f}"
            f"  ({row['ratio_low_quartile']:.3f}-{row['ratio_high_quartile']:.3f})"
        )
    sizes = {"length": LENGTH, "channels": CHANNELS, "batch": BATCH, "mode": "causal"}
    write_record(arguments.output, __doc__, {"sizes": sizes, "bar": BAR, "rows": rows})


if __name__ == "__main__":
    main()
