"""What does inference gain where the filter's spectrum is kept from the call before?

    OMP_NUM_THREADS=1 python benchmarks/kept_spectra.py

The same forward pass, interleaved, in one process on one thread: without gradients, where the fused kernel finds the
taps unchanged and keeps their spectrum; and as in training, where it makes the spectrum anew. 256 channels. Prints
median and quartiles of the ratios of the times within a round (above 1: keeping is faster), and
writes them to benchmarks/results/kept_spectra.json. Takes half a minute.
"""

import statistics
from functools import partial

import torch
from torch import Tensor

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.ops import Mode, global_conv

WIDTH = 256
LENGTHS = (256, 1024, 4096)  # longer ones are too large to be kept
BATCHES = (1, 2, 8)
MOST_NUMBERS = 2**24
MODES: tuple[Mode, ...] = ("circular", "causal")


def forward(x: Tensor, taps: Tensor, mode: Mode, *, learning: bool) -> None:
    """One call; ``taps`` want a gradient, which only counts where it is enabled."""
    with torch.set_grad_enabled(learning):
        global_conv(x, taps, mode=mode, backend="fused_cpu")


def main() -> None:
    arguments = options(__doc__, name="kept_spectra", rounds=15).parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(arguments.seed)
    results: list[dict[str, object]] = []
    for mode in MODES:
        for length in LENGTHS:
            taps = torch.randn(WIDTH, length, generator=generator).requires_grad_()
            for batch in BATCHES:
                if batch * length * WIDTH > MOST_NUMBERS:
                    continue
                x = torch.randn(batch, length, WIDTH, generator=generator)
                call = partial(forward, x, taps, mode)
                times = interleaved(
                    {
                        "kept": lambda call=call: seconds(lambda: call(learning=False)),  # type: ignore[misc]
                        "anew": lambda call=call: seconds(lambda: call(learning=True)),  # type: ignore[misc]
                    },
                    rounds=arguments.rounds,
                )
                gain = ratio(times["anew"], times["kept"])
                row: dict[str, object] = {
                    "mode": mode,
                    "length": length,
                    "batch": batch,
                    "kept_ms": round(1e3 * statistics.median(times["kept"]), 3),
                    "gain": round(gain.median, 2),
                    "quartiles": [round(gain.low, 2), round(gain.high, 2)],
                }
                results.append(row)
                print(*row.values(), flush=True)
    write_record(arguments.output, __doc__, {"rounds": arguments.rounds, "results": results})


if __name__ == "__main__":
    main()
