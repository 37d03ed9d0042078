"""Up to how many taps is the direct sum not slower than any transform, and which transform is the faster?

    OMP_NUM_THREADS=1 python benchmarks/choose_backend.py

Times the backends in turn, in one process on one thread, forward and forward plus backward: first all three
over lengths, numbers of taps, widths and modes; then "fused_cpu" and "spectral", the taps as long as the
sequence. Prints the times by fused_cpu's (below 1: the other is faster), median and quartiles of the ratios within
a round, and writes all of it to benchmarks/results/choose_backend.json. MOST_TAPS in
ops/reference.py is read off that file: its medians; FEW_BYTES and FEW_NUMBERS in ops/fused_cpu/backend.py are where
"fused_cpu" and "spectral" change places in its last part. Takes about five minutes.
"""

import statistics
from functools import partial
from typing import Any

import torch
from torch import Tensor

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.ops import Mode, global_conv

LENGTHS = (16, 64, 256, 1024)
NUM_TAPS: dict[Mode, tuple[int, ...]] = {
    "circular": (1, 2, 3, 4, 5, 6, 8, 10, 12, 16),
    "causal": (1, 2, 3, 4, 5, 6, 8, 10, 12, 16),
    "bidirectional": (1, 3, 5, 7, 9, 11, 13, 17),
}
WIDTHS_AND_ELEMENTS = ((64, 2**17), (128, 2**17), (64, 2**13))
"""Width, and batch x length x width: a training batch of small models, and one that fits the cache."""
BACKENDS = ("fused_cpu", "reference", "spectral")
TRANSFORMS = ("fused_cpu", "spectral")
FULL_LENGTHS = (4, 16, 60, 64, 100, 127, 256, 1000, 1024, 4096, 16384, 65536)
"""As long as the taps; 127 is prime, 60, 100 and 1000 have factors of 3 and 5."""
FULL_WIDTHS_AND_ELEMENTS = (
    (2, 2**15),
    (8, 2**15),
    (16, 2**11),
    (16, 2**13),
    (16, 2**15),
    (64, 2**17),
    (256, 2**21),
)
"""Few channels, few numbers in all, and the sizes that are trained."""
TRAINING = "forward and backward"
Row = dict[str, float]


def where(mode: Mode, x: Tensor, *, backward: bool) -> dict[str, object]:
    """What a row tells of its problem."""
    batch, length, width = x.shape
    return {
        "mode": mode,
        "batch": batch,
        "length": length,
        "width": width,
        "pass": TRAINING if backward else "forward",
    }


def compare(
    x: Tensor, taps: Tensor, mode: Mode, *, backends: tuple[str, ...], backward: bool, rounds: int
) -> Row:
    """Median milliseconds of each backend; ratios to the first one's, and their quartiles within a round."""
    weight = torch.ones_like(x)

    def call(backend: str) -> None:
        if backward:
            torch.autograd.grad(global_conv(x, taps, mode=mode, backend=backend), (x, taps), weight)
        else:
            with torch.no_grad():
                global_conv(x, taps, mode=mode, backend=backend)

    def measure(backend: str) -> float:
        return seconds(lambda: call(backend))

    times = interleaved({backend: partial(measure, backend) for backend in backends}, rounds=rounds)
    row: Row = {f"{backend}_ms": round(statistics.median(times[backend]) * 1e3, 4) for backend in backends}
    first, *others = backends
    for other in others:
        against = ratio(times[other], times[first])
        row |= {
            other: round(against.median, 3),
            f"{other}_low_quartile": round(against.low, 3),
            f"{other}_high_quartile": round(against.high, 3),
        }
    return row


def crossover(rows: list[Row]) -> int:
    """The most taps up to which the direct sum was never slower than both others, 0 if it always was."""
    most = 0
    for row in sorted(rows, key=lambda row: row["num_taps"]):
        if row["reference"] > min(1.0, row["spectral"]):
            break
        most = int(row["num_taps"])
    return most


def compare_transforms(generator: torch.Generator, *, rounds: int) -> list[dict[str, object]]:
    """fused_cpu against spectral, with taps as long as the sequence."""
    results: list[dict[str, object]] = []
    for mode in NUM_TAPS:
        for width, elements in FULL_WIDTHS_AND_ELEMENTS:
            for length in FULL_LENGTHS:
                batch = max(1, elements // (length * width))
                if batch * length * width > 2 * max(e for _, e in FULL_WIDTHS_AND_ELEMENTS):
                    continue
                num_taps = 2 * length - 1 if mode == "bidirectional" else length
                x = torch.randn(batch, length, width, generator=generator).requires_grad_()
                taps = torch.randn(width, num_taps, generator=generator).requires_grad_()
                for backward in (False, True):
                    place = where(mode, x, backward=backward)
                    row = compare(x, taps, mode, backends=TRANSFORMS, backward=backward, rounds=rounds)
                    results.append(place | row)
                    print(
                        *place.values(),
                        f"| spectral / fused_cpu {row['spectral']:.2f}"
                        f" ({row['spectral_low_quartile']:.2f}-{row['spectral_high_quartile']:.2f})",
                        flush=True,
                    )
    return results


def main() -> None:
    arguments = options(__doc__, name="choose_backend", rounds=25).parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(arguments.seed)

    results: list[dict[str, object]] = []
    crossovers: list[dict[str, Any]] = []
    for mode, nums_taps in NUM_TAPS.items():
        for width, elements in WIDTHS_AND_ELEMENTS:
            for length in LENGTHS:
                batch = max(1, elements // (length * width))
                x = torch.randn(batch, length, width, generator=generator).requires_grad_()
                for backward in (False, True):
                    place = where(mode, x, backward=backward)
                    rows: list[Row] = []
                    for num_taps in nums_taps:
                        taps = torch.randn(width, num_taps, generator=generator).requires_grad_()
                        row = compare(
                            x, taps, mode, backends=BACKENDS, backward=backward, rounds=arguments.rounds
                        )
                        rows.append({"num_taps": num_taps, **row})
                    results += [place | row for row in rows]
                    crossovers.append(place | {"most_taps": crossover(rows)})
                    ratios = "  ".join(
                        f"{row['num_taps']}: {row['reference']:.2f}"
                        f" ({row['reference_low_quartile']:.2f}-{row['reference_high_quartile']:.2f})"
                        for row in rows
                    )
                    print(*place.values(), "| up to", crossovers[-1]["most_taps"], "|", ratios, flush=True)

    full = compare_transforms(generator, rounds=max(5, arguments.rounds // 3))
    medians = {
        mode: statistics.median_low(
            [row["most_taps"] for row in crossovers if row["mode"] == mode and row["pass"] == TRAINING]
        )
        for mode in NUM_TAPS
    }
    print("median crossovers,", TRAINING, medians)
    record: dict[str, object] = {
        "rounds": arguments.rounds,
        "seed": arguments.seed,
        "median_most_taps": medians,
        "crossovers": crossovers,
        "results": results,
        "full_length": full,
    }
    write_record(arguments.output, __doc__, record)


if __name__ == "__main__":
    main()
