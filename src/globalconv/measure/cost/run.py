"""From a request to a table on the terminal and files on disk: what ``globalconv cost`` does."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from globalconv.host.devices import device_line, resolve_device
from globalconv.host.machine import machine_facts
from globalconv.measure.cost.findings import crossovers_of, exponents_of, left_out_of, rows_of
from globalconv.measure.cost.request import CostRequest, Sweep
from globalconv.measure.cost.table import print_record
from globalconv.measure.curves import Subject, decoding_call, grow_curves, inference_call, training_call
from globalconv.measure.record import Ended, Record
from globalconv.measure.roofline import Speeds, measure_speeds
from globalconv.measure.session import open_directory, run_session

QUESTION = (
    "What does each token mixer cost here, and from which length on is a convolution cheaper than attention?"
)

SETTINGS = ("device", "threads", "mode", "batch", "heads", "rounds", "budget_seconds")


def run_cost(request: CostRequest, out: Path, *, console: Console) -> Record:
    """Measure what was asked for, print it, and write cost.json, cost.csv and the pictures into ``out``.

    Ctrl-C ends the measuring and keeps what was measured. Raises InputError for what cannot be measured here or
    written there, before anything is measured. Sets torch's number of threads.
    """
    request = replace(request, device=resolve_device(request.device))
    sweeps, absent = request.sweeps()
    open_directory(out)
    console.print(device_line(request.device), highlight=False, soft_wrap=True)
    torch.set_num_threads(request.threads)
    speeds: list[Speeds] = []

    def measuring() -> Iterator[int]:
        _warm_up(request, sweeps)
        speeds.append(measure_speeds(request.threads, device=request.device))
        end = time.monotonic() + request.budget_seconds
        for number, sweep in enumerate(sweeps):
            yield from _measure(sweep, max(end - time.monotonic(), 0.0) / (len(sweeps) - number))

    def record(ended: Ended) -> Record:
        return Record(
            question=QUESTION,
            machine=machine_facts(),
            settings={name: getattr(request, name) for name in SETTINGS} | {"memory_bytes": request.memory},
            subjects={name: one.what for sweep in sweeps for name, one in sweep.contenders.items()},
            absent=absent,
            speeds=speeds,
            results=[row for sweep in sweeps for row in rows_of(sweep, speeds[0])] if speeds else [],
            left_out=[left for sweep in sweeps for left in left_out_of(sweep)],
            ended=ended,
            crossovers=[crossing for sweep in sweeps for crossing in crossovers_of(sweep)],
            scaling=[exponent for sweep in sweeps for exponent in exponents_of(sweep)],
        )

    return run_session(
        "cost",
        out,
        measuring(),
        total=len(sweeps) * len(request.lengths),
        unit="lengths",
        budget_seconds=request.budget_seconds,
        console=console,
        record=record,
        show=print_record,
        draw=_draw,
    )


def _draw(record: Record) -> Iterator[tuple[str, bytes]]:
    from globalconv.measure.cost.plot import pictures

    return pictures(record)


def _warm_up(request: CostRequest, sweeps: Sequence[Sweep]) -> None:
    """Call each mixer once: the fused kernels are compiled at their first call, which is no cost of a mixer."""
    first = min(request.lengths)
    for sweep in sweeps:
        for name in sweep.contenders:
            if (sweep.needs(name, first) or 0.0) <= request.memory_limit():
                _subject(sweep, name).prepare(first)()


def _measure(sweep: Sweep, seconds: float) -> Iterator[int]:
    """Fill the sweep's curves, in place, so that an interruption keeps them; yields how many lengths are done."""
    request = sweep.request
    done = 0
    for curves in grow_curves(
        {name: _subject(sweep, name) for name in sweep.contenders},
        request.lengths,
        seconds=seconds,
        memory=request.memory_limit(),
        device=request.device,
        repetitions=request.rounds,
    ):
        sweep.curves = curves
        done += 1
        yield 1
    if done < len(request.lengths):
        yield len(request.lengths) - done


def _subject(sweep: Sweep, name: str) -> Subject:
    request = sweep.request

    def prepare(length: int) -> Callable[[], object]:
        case = sweep.case(length)
        mixer = sweep.contenders[name].build(
            case.width, length, causal=case.mode == "causal", heads=request.heads
        )
        mixer.to(request.device)
        x = torch.randn(
            case.batch, length, case.width, device=request.device, requires_grad=case.phase == "training"
        )
        calls = {"forward": inference_call, "training": training_call, "decode": decoding_call}
        return calls[case.phase](mixer, x)

    return Subject(
        prepare,
        needs=lambda length: sweep.needs(name, length),
        parts=lambda length: length if sweep.phase == "decode" else 1,
    )
