"""What does it cost that the rows of a batch have different lengths?

    OMP_NUM_THREADS=1 python benchmarks/lengths.py

global_conv with lengths= and without, interleaved, in one process on one thread, by the default backend; 64 channels,
rows from a quarter of the length to all of it. "different": all rows differ. "in fours": four rows of each length,
as batching by length makes them. "packed": the same documents end to end, as Documents.map computes them, against
the padded batch without lengths. Prints median and quartiles of the ratios of the times within a
round (above 1: lengths cost time), forward and with all gradients, and writes them to
benchmarks/results/lengths.json. Takes a minute.
"""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.ops import Documents, Mode, global_conv, offsets_of, pack
from globalconv.ops.interface import MODES

WIDTH = 64
SIZES = ((32, 128), (32, 1024), (8, 4096))
"""Rows and length."""
SHORT_TAPS = 3
Convolve = Callable[[Tensor, Tensor], Tensor]


def draw_lengths(rows: int, length: int, *, each: int, generator: torch.Generator) -> Tensor:
    """Different lengths for every ``each`` rows, one of them full, in any order."""
    shortest = length // 4
    some = shortest + torch.randperm(length - shortest, generator=generator)[: rows // each]
    some[0] = length
    return some.repeat_interleave(each)[torch.randperm(rows, generator=generator)]


def ways(mode: Mode, own: dict[str, Tensor], packed: Tensor) -> dict[str, Convolve]:
    """Every way to compute the batch, each from x (rows, length, channels) and taps."""
    documents = Documents(offsets_of(own["different"]), packed)

    def rows(x: Tensor, taps: Tensor, lengths: Tensor | None) -> Tensor:
        cut = taps[:, : x.shape[1]] if mode == "circular" else taps
        return global_conv(x, cut, mode=mode, lengths=lengths)

    def as_documents(x: Tensor, taps: Tensor) -> Tensor:
        return documents.map(lambda part, lengths: rows(part, taps, lengths), pack(x, own["different"]))

    found: dict[str, Convolve] = {"none": lambda x, taps: rows(x, taps, None)}
    found |= {name: lambda x, taps, n=n: rows(x, taps, n) for name, n in own.items()}  # type: ignore[misc]
    return found | {"packed": as_documents}


def compare(
    mode: Mode, size: tuple[int, int], lags: int, *, backward: bool, rounds: int, generator: torch.Generator
) -> list[dict[str, object]]:
    """A row of the record for each way with lengths."""
    rows, length = size
    own = {
        name: draw_lengths(rows, length, each=each, generator=generator)
        for name, each in (("different", 1), ("in fours", 4))
    }
    x = torch.randn(rows, length, WIDTH, generator=generator, requires_grad=backward)
    num_taps = 2 * lags - 1 if mode == "bidirectional" else lags
    taps = torch.randn(WIDTH, num_taps, generator=generator, requires_grad=backward)

    def measure(convolve: Convolve) -> float:
        def call() -> None:
            y = convolve(x, taps)
            if backward:
                torch.autograd.grad(y, (x, taps), torch.ones_like(y))

        return seconds(call)

    measures = {
        name: lambda way=way: measure(way)  # type: ignore[misc]
        for name, way in ways(mode, own, pack(x.detach(), own["different"])).items()
    }
    times = interleaved(measures, rounds=rounds)
    found = []
    for name in (*own, "packed"):
        cost = ratio(times[name], times["none"])
        found.append(
            {
                "mode": mode,
                "rows": rows,
                "length": length,
                "taps": num_taps,
                "backward": backward,
                "lengths": name,
                "without_ms": round(1e3 * statistics.median(times["none"]), 3),
                "ratio": round(cost.median, 2),
                "quartiles": [round(cost.low, 2), round(cost.high, 2)],
            }
        )
    return found


def main() -> None:
    arguments = options(__doc__, name="lengths", rounds=11).parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(arguments.seed)
    results: list[dict[str, object]] = []
    for mode in MODES:
        for size in SIZES:
            for lags in (size[1], SHORT_TAPS):
                for backward in (False, True):
                    rows = compare(
                        mode, size, lags, backward=backward, rounds=arguments.rounds, generator=generator
                    )
                    for row in rows:
                        print(*row.values(), flush=True)
                    results += rows
    write_record(arguments.output, __doc__, {"rounds": arguments.rounds, "results": results})


if __name__ == "__main__":
    main()
