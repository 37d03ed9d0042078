"""Up to how many taps is the direct sum not slower than the FFT?

    OMP_NUM_THREADS=1 python benchmarks/choose_backend.py

Times the backends "reference" and "spectral" in turn, in one process on one thread, forward and forward
plus backward, over lengths, numbers of taps, widths and modes. Prints the ratio of their median times
(below 1: the direct sum is faster) with the quartiles of the ratios within a round, and writes them to
benchmarks/results/choose_backend.json. MOST_TAPS in ops/reference.py is read off that file: its medians.
Takes about a minute.
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
BACKENDS = ("reference", "spectral")
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


def compare(x: Tensor, taps: Tensor, mode: Mode, *, backward: bool, rounds: int) -> Row:
    """Median milliseconds of each backend, their ratio, and the quartiles of the ratios within a round."""
    weight = torch.ones_like(x)

    def call(backend: str) -> None:
        if backward:
            torch.autograd.grad(global_conv(x, taps, mode=mode, backend=backend), (x, taps), weight)
        else:
            with torch.no_grad():
                global_conv(x, taps, mode=mode, backend=backend)

    times: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    for i in range(rounds + 1):
        for backend in BACKENDS if i % 2 else reversed(BACKENDS):
            elapsed = seconds(lambda backend=backend: call(backend))  # type: ignore[misc]
            if i:  # round 0 warms up
                times[backend].append(elapsed)
    direct, fft = (statistics.median(times[backend]) for backend in BACKENDS)
    within = sorted(a / b for a, b in zip(times["reference"], times["spectral"], strict=True))
    low, _, high = statistics.quantiles(within, n=4)
    return {
        "reference_ms": round(direct * 1e3, 4),
        "spectral_ms": round(fft * 1e3, 4),
        "ratio": round(direct / fft, 3),
        "ratio_low_quartile": round(low, 3),
        "ratio_high_quartile": round(high, 3),
    }


def crossover(rows: list[Row]) -> int:
    """The most taps up to which the direct sum was never slower, 0 if it always was."""
    most = 0
    for row in sorted(rows, key=lambda row: row["num_taps"]):
        if row["ratio"] > 1:
            break
        most = int(row["num_taps"])
    return most


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
                        row = compare(x, taps, mode, backward=backward, rounds=arguments.rounds)
                        rows.append({"num_taps": num_taps, **row})
                    results += [where | row for row in rows]
                    crossovers.append(where | {"most_taps": crossover(rows)})
                    ratios = "  ".join(
                        f"{row['num_taps']}: {row['ratio']:.2f}"
                        f" ({row['ratio_low_quartile']:.2f}-{row['ratio_high_quartile']:.2f})"
                        for row in rows
                    )
                    print(*where.values(), "| up to", crossovers[-1]["most_taps"], "|", ratios, flush=True)

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
    }
    arguments.output.write_text(to_json(record))


if __name__ == "__main__":
    main()
