"""Up to how many taps is the direct sum not slower than any transform, and which transform is the faster?

    OMP_NUM_THREADS=1 python benchmarks/choose_backend.py

Times the backends in turn, in one process on one thread, forward and forward plus backward: first all three
over lengths, numbers of taps, widths and modes; then "fused_cpu" and "spectral", the taps as long as the
sequence. Prints ratios of median times to fused_cpu's (below 1: the other is faster) with the quartiles of
the ratios within a round, and writes all of it to benchmarks/results/choose_backend.json. MOST_TAPS in
ops/reference.py is read off that file: its medians. Takes about three minutes.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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
FULL_WIDTHS_AND_ELEMENTS = ((16, 2**13), (64, 2**17), (256, 2**21))
TRAINING = "forward and backward"
Row = dict[str, float]


def machine() -> dict[str, str | int]:
    """What a reader needs to judge the times by; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count() or 0,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def seconds(call: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


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

    times: dict[str, list[float]] = {backend: [] for backend in backends}
    for i in range(rounds + 1):
        for backend in backends if i % 2 else reversed(backends):
            elapsed = seconds(lambda backend=backend: call(backend))  # type: ignore[misc]
            if i:  # round 0 warms up
                times[backend].append(elapsed)
    row: Row = {f"{backend}_ms": round(statistics.median(times[backend]) * 1e3, 4) for backend in backends}
    first, *others = backends
    for other in others:
        within = sorted(a / b for a, b in zip(times[other], times[first], strict=True))
        low, _, high = statistics.quantiles(within, n=4)
        row |= {
            other: round(row[f"{other}_ms"] / row[f"{first}_ms"], 3),
            f"{other}_low_quartile": round(low, 3),
            f"{other}_high_quartile": round(high, 3),
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
                    where: dict[str, object] = {
                        "mode": mode,
                        "batch": batch,
                        "length": length,
                        "width": width,
                        "pass": TRAINING if backward else "forward",
                    }
                    row = compare(x, taps, mode, backends=TRANSFORMS, backward=backward, rounds=rounds)
                    results.append(where | row)
                    print(
                        *where.values(),
                        f"| spectral / fused {row['spectral']:.2f}"
                        f" ({row['spectral_low_quartile']:.2f}-{row['spectral_high_quartile']:.2f})",
                        flush=True,
                    )
    return results


def to_json(record: dict[str, object]) -> str:
    """JSON with one line for each row of a list, so that a table reads and diffs as one."""
    parts = []
    for key, value in record.items():
        rows = ",\n  ".join(json.dumps(row) for row in value) if isinstance(value, list) else None
        parts.append(f" {json.dumps(key)}: " + (json.dumps(value) if rows is None else f"[\n  {rows}\n ]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results" / "choose_backend.json"
    )
    arguments = parser.parse_args()
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
                    where: dict[str, object] = {
                        "mode": mode,
                        "batch": batch,
                        "length": length,
                        "width": width,
                        "pass": TRAINING if backward else "forward",
                    }
                    rows: list[Row] = []
                    for num_taps in nums_taps:
                        taps = torch.randn(width, num_taps, generator=generator).requires_grad_()
                        row = compare(
                            x, taps, mode, backends=BACKENDS, backward=backward, rounds=arguments.rounds
                        )
                        rows.append({"num_taps": num_taps, **row})
                    results += [where | row for row in rows]
                    crossovers.append(where | {"most_taps": crossover(rows)})
                    ratios = "  ".join(
                        f"{row['num_taps']}: {row['reference']:.2f}"
                        f" ({row['reference_low_quartile']:.2f}-{row['reference_high_quartile']:.2f})"
                        for row in rows
                    )
                    print(*where.values(), "| up to", crossovers[-1]["most_taps"], "|", ratios, flush=True)

    full = compare_transforms(generator, rounds=max(5, arguments.rounds // 3))
    medians = {
        mode: statistics.median_low(
            [row["most_taps"] for row in crossovers if row["mode"] == mode and row["pass"] == TRAINING]
        )
        for mode in NUM_TAPS
    }
    print("median crossovers,", TRAINING, medians)
    record: dict[str, object] = {
        "question": (__doc__ or "").splitlines()[0],
        "machine": machine(),
        "rounds": arguments.rounds,
        "seed": arguments.seed,
        "median_most_taps": medians,
        "crossovers": crossovers,
        "results": results,
        "full_length": full,
    }
    arguments.output.write_text(to_json(record))


if __name__ == "__main__":
    main()
