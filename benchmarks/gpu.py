"""Does the operator keep its promises on this GPU, and how fast is it beside the core of attention?

    python benchmarks/gpu.py                 # on a machine with a GPU, in at most 8 minutes
    python benchmarks/gpu.py --smoke         # anywhere, in a minute: small sizes and one law

First the part of the test suite that depends on the device: the operator's laws, the contract of the mixers, the
filters (pytest --device). Then forward, and forward and backward, interleaved: ``global_conv`` (causal, as many taps as
tokens) by every backend that computes there, and torch's scaled_dot_product_attention (causal, heads of 64
channels), in float32 and bfloat16. Ratios are of medians, attention's time over the backend's (above 1: the
convolution is faster), with the quartiles of the ratios within a round. Writes one record with the names and
versions of everything, and what was skipped, to benchmarks/results/gpu-NAME.json.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from common import RESULTS, options, write_record
from globalconv.errors import InputError
from globalconv.measure.interleaved import interleaved, ratio, seconds, spread
from globalconv.ops import available_backends, global_conv

ROOT = Path(__file__).parents[1]
TESTS = ("tests/ops/test_laws.py", "tests/contracts/test_mixer_contract.py", "tests/filters")
SUITE_SECONDS = 270
CELL_SECONDS = 8.0
"""16 cells of the table; with the suite, and the start of both, within 8 minutes."""
WIDTH, HEAD = 512, 64
LENGTHS, TOKENS, ROUNDS = (256, 1024, 4096, 16384), 2**16, 30
SMOKE_WIDTH, SMOKE_LENGTHS, SMOKE_TOKENS, SMOKE_ROUNDS = 128, (16, 64), 2**8, 2
DTYPES = (torch.float32, torch.bfloat16)
MOST_REFERENCE_TAPS = 256
"""The direct sum launches a kernel for each tap: with more it would take all the time there is."""


def main() -> None:
    parser = options(__doc__, name="gpu", rounds=ROUNDS)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--smoke", action="store_true", help="small sizes and one law")
    parser.set_defaults(output=None)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    skipped: list[str] = []
    if device.type == "cpu" and not arguments.smoke:
        arguments.smoke = True
        skipped.append("no GPU: all but the sizes of --smoke")
    started = time.monotonic()
    suite = run_suite(arguments, skipped)
    rows = table(arguments, device, skipped)
    for reason in skipped:
        print(f"skipped: {reason}")
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    path = arguments.output or RESULTS / f"gpu-{slug}.json"
    record: dict[str, object] = {
        "device": name,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "smoke": arguments.smoke,
        "suite": suite,
        "skipped": skipped,
        "seconds": round(time.monotonic() - started),
        "results": rows,
    }
    write_record(path, __doc__, record)
    print(f"{path} ({record['seconds']} s)")


def run_suite(arguments: argparse.Namespace, skipped: list[str]) -> dict[str, object]:
    """The suite's part that depends on the device: its last line, and whether it ended well."""
    workers = 0 if arguments.smoke else min(8, os.cpu_count() or 1)
    only = ["-k", "test_law and formula and float32"] if arguments.smoke else []
    if only:
        skipped.append("of the suite all but the formula in float32")
    command = [sys.executable, "-m", "pytest", "-n", str(workers), "--device", arguments.device]
    try:
        ended = subprocess.run(
            [*command, *only, *TESTS], cwd=ROOT, capture_output=True, text=True, timeout=SUITE_SECONDS
        )
    except subprocess.TimeoutExpired:
        skipped.append(f"what of the suite was not done after {SUITE_SECONDS} s")
        return {"passed": False, "last_line": "not done in time", "failures": []}
    lines = ended.stdout.strip().splitlines() or ended.stderr.strip().splitlines() or [""]
    print(f"suite: {lines[-1]}")
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    print("\n".join(failures))
    return {"passed": ended.returncode == 0, "last_line": lines[-1], "failures": failures}


def table(arguments: argparse.Namespace, device: torch.device, skipped: list[str]) -> list[dict[str, object]]:
    width, lengths, tokens, rounds = WIDTH, LENGTHS, TOKENS, arguments.rounds
    if arguments.smoke:
        width, lengths, tokens, rounds = SMOKE_WIDTH, SMOKE_LENGTHS, SMOKE_TOKENS, SMOKE_ROUNDS
    rows: list[dict[str, object]] = []
    for length in lengths:
        for dtype in DTYPES:
            shape = (max(1, tokens // length), length, width)
            calls = ways(shape, dtype, device, arguments.seed, skipped)
            for backward in (False, True):
                measures = {
                    name: partial(seconds, partial(done, call, device, backward=backward))
                    for name, call in calls.items()
                }
                times = interleaved(measures, rounds=rounds, within=CELL_SECONDS)
                over = {
                    name: ratio(times["attention"], some)
                    for name, some in times.items()
                    if name != "attention"
                }
                row: dict[str, object] = {
                    "length": length,
                    "dtype": str(dtype).removeprefix("torch."),
                    "pass": "forward and backward" if backward else "forward",
                    "milliseconds": {
                        name: round(1e3 * spread(some).median, 4) for name, some in times.items()
                    },
                    "attention_over": {
                        name: [round(number, 3) for number in (found.median, found.low, found.high)]
                        for name, found in over.items()
                    },
                }
                print(row)
                rows.append(row)
    return rows


def ways(
    shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device, seed: int, skipped: list[str]
) -> dict[str, Callable[[], tuple[Tensor, list[Tensor]]]]:
    """Calls on a (batch, length, width) that return a result and what it is differentiated by."""
    batch, length, width = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()

    x, taps = normal(*shape), normal(width, length, dtype=torch.float32)
    heads = [normal(batch, width // HEAD, length, HEAD) for _ in range(3)]
    calls: dict[str, Callable[[], tuple[Tensor, list[Tensor]]]] = {
        "attention": lambda: (F.scaled_dot_product_attention(*heads, is_causal=True), heads)
    }
    for backend in available_backends():
        name = backend.name
        if name == "reference" and length > MOST_REFERENCE_TAPS:
            say_once(skipped, f"{name} above {MOST_REFERENCE_TAPS} taps: a launch for each")
            continue
        call = partial(global_conv, x, taps, mode="causal", backend=name)
        try:
            call()
        except InputError as error:
            say_once(skipped, f"{name}: {error}")
            continue
        calls[name] = lambda call=call: (call(), [x, taps])  # type: ignore[misc]
    return calls


def say_once(skipped: list[str], reason: str) -> None:
    if reason not in skipped:
        skipped.append(reason)


def done(call: Callable[[], tuple[Tensor, list[Tensor]]], device: torch.device, *, backward: bool) -> None:
    """One call, waited for."""
    with torch.set_grad_enabled(backward):
        result, operands = call()
        if backward:
            torch.autograd.grad(result, operands, torch.ones_like(result))
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
