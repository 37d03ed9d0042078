"""How much faster is the fused CPU kernel than the same convolution by torch.fft?

    OMP_NUM_THREADS=1 python benchmarks/operator_cpu.py --threads 1
    GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:\
glibc.malloc.top_pad=268435456 python benchmarks/operator_cpu.py --threads 1 --allocator tuned

On (batch, length, channels), both sides allocating: rfft, product and irfft along dim 1 as they stand, and
the backend "spectral", which transposes first. Interleaved in one process; ratios of medians to the fused
time (above 1: fused is faster), with the quartiles of the ratios within a round. By default glibc maps every
tensor above 32 MB anew, and the page faults cost as much as the kernel; --allocator names the regime that
the environment sets. The last columns: error relative to float64, and numbers per second. Writes
benchmarks/results/operator_cpu-THREADS-ALLOCATOR.json. Takes about three minutes.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from choose_backend import machine, seconds, to_json
from globalconv.ops import Mode, global_conv

LENGTHS = (64, 256, 1024, 4096, 16384, 65536)
ELEMENTS = 2**23
"""Batch x length x width: 32 MB of float32."""
MODES: tuple[Mode, ...] = ("circular", "causal")
Convolution = Callable[[Tensor, Tensor], Tensor]


def along_dim_1(mode: Mode) -> Convolution:
    """What a user writes: torch.fft on the layout as it is."""

    def convolve(x: Tensor, taps: Tensor) -> Tensor:
        length = x.shape[1]
        n = length if mode == "circular" else 2 * length
        product = torch.fft.rfft(x, n=n, dim=1) * torch.fft.rfft(taps, n=n).t()
        return torch.fft.irfft(product, n=n, dim=1)[:, :length]

    return convolve


def backend(name: str, mode: Mode) -> Convolution:
    """One of ours, by name."""
    return lambda x, taps: global_conv(x, taps, mode=mode, backend=name)


def times(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, round by round; the order alternates."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds + 1):
        for name in calls if i % 2 else reversed(calls):
            elapsed = seconds(calls[name])
            if i:
                found[name].append(elapsed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--allocator", choices=("default", "tuned"), default="default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width = arguments.width
    results: list[dict[str, object]] = []
    for length in LENGTHS:
        batch = max(1, ELEMENTS // (length * width))
        x = torch.randn(batch, length, width).requires_grad_()
        taps = (torch.randn(width, length) / length**0.5).requires_grad_()
        upstream = torch.randn_like(x)
        for mode in MODES:
            ways = {
                "fused": backend("fused_cpu", mode),
                "dim1": along_dim_1(mode),
                "transposed": backend("spectral", mode),
            }
            with torch.no_grad():
                few = slice(0, 1), slice(None), slice(0, 16)
                right = ways["transposed"](x[few].double(), taps[:16].double())
                error = float((ways["fused"](x[few], taps[:16]) - right).norm() / right.norm())
            for backward in (False, True):

                def call(
                    way: Convolution, backward: bool = backward, x: Tensor = x, taps: Tensor = taps
                ) -> None:
                    with torch.set_grad_enabled(backward):
                        y = way(x, taps)
                    if backward:
                        torch.autograd.grad(y, (x, taps), upstream)  # noqa: B023

                found = times(
                    {name: lambda way=way: call(way) for name, way in ways.items()},  # type: ignore[misc]
                    arguments.rounds,
                )
                fused = statistics.median(found["fused"])
                row: dict[str, object] = {
                    "length": length,
                    "batch": batch,
                    "width": width,
                    "mode": mode,
                    "pass": "forward and backward" if backward else "forward",
                    "fused_ms": round(fused * 1e3, 2),
                    "error": float(f"{error:.1e}"),
                    "numbers_per_second": float(f"{x.numel() / fused:.2e}"),
                }
                for name in ("dim1", "transposed"):
                    within = [a / b for a, b in zip(found[name], found["fused"], strict=True)]
                    low, _, high = statistics.quantiles(within, n=4)
                    row |= {
                        name: round(statistics.median(found[name]) / fused, 2),
                        f"{name}_quartiles": [round(low, 2), round(high, 2)],
                    }
                results.append(row)
                print(json.dumps(row), flush=True)
    record: dict[str, object] = {
        "question": (__doc__ or "").splitlines()[0],
        "machine": machine(),
        "allocator": arguments.allocator,
        "results": results,
    }
    file = f"operator_cpu-{arguments.threads}-{arguments.allocator}.json"
    (Path(__file__).parent / "results" / file).write_text(to_json(record))


if __name__ == "__main__":
    main()
