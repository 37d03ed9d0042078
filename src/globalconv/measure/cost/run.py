"""From a request to a table on the terminal and files on disk: what ``globalconv cost`` does."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from globalconv.host.devices import device_line, resolve_device
from globalconv.host.machine import machine_facts
from globalconv.measure.cost.contenders import Contender
from globalconv.measure.cost.decoding import decoding_call
from globalconv.measure.cost.findings import Findings
from globalconv.measure.cost.request import CostRequest, Sweep
from globalconv.measure.cost.table import print_record
from globalconv.measure.curves import Curve, Subject, grow_curves, inference_call, training_call
from globalconv.measure.record import Ended, Record
from globalconv.measure.roofline import Speeds, measure_speeds
from globalconv.measure.session import Draw, open_directory, run_session

QUESTION = (
    "What does each token mixer cost here, and from which length on is a convolution cheaper than attention?"
)


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
    found: list[Findings] = []
    speeds: list[Speeds] = []

    def measuring() -> Iterator[int]:
        _warm_up(request, sweeps)
        speeds.append(measure_speeds(request.threads, device=request.device))
        end = time.monotonic() + request.budget_seconds
        for number, sweep in enumerate(sweeps):
            share = max(end - time.monotonic(), 0.0) / (len(sweeps) - number)
            found.append(Findings(request, sweep, [Curve(c.name) for c in sweep.contenders]))
            yield from _measure(found[-1], share)

    def record(ended: Ended) -> Record:
        return Record(
            question=QUESTION,
            machine=machine_facts(),
            settings={
                "device": request.device,
                "threads": request.threads,
                "mode": request.mode,
                "batch": request.batch,
                "heads": request.heads,
                "rounds": request.rounds,
                "budget_seconds": request.budget_seconds,
                "memory_bytes": request.memory,
            },
            subjects={contender.name: contender.what for sweep in sweeps for contender in sweep.contenders},
            absent=absent,
            speeds=speeds,
            results=[row for findings in found for row in findings.rows(speeds[0])],
            left_out=[left for findings in found for left in findings.left_out()],
            ended=ended,
            crossovers=[crossing for findings in found for crossing in findings.crossovers()],
            scaling=[exponent for findings in found for exponent in findings.scaling()],
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
        pictures=_pictures,
    )


def _pictures() -> Draw:
    from globalconv.measure.cost.plot import pictures

    return pictures


def _warm_up(request: CostRequest, sweeps: Sequence[Sweep]) -> None:
    """Call each mixer once: the fused kernels are compiled at their first call, which is no cost of a mixer."""
    first = min(request.lengths)
    for sweep in sweeps:
        for contender in sweep.contenders:
            if (request.needs(contender, sweep, first) or 0.0) <= request.memory_limit():
                _subject(request, sweep, contender).prepare(first)()


def _measure(findings: Findings, seconds: float) -> Iterator[int]:
    """Fill the findings' curves, in place, so that an interruption keeps them; yields how many lengths are done."""
    request, sweep = findings.request, findings.sweep
    done = 0
    for curves in grow_curves(
        {contender.name: _subject(request, sweep, contender) for contender in sweep.contenders},
        request.lengths,
        seconds=seconds,
        memory=request.memory_limit(),
        device=request.device,
        repetitions=request.rounds,
    ):
        findings.curves[:] = curves
        done += 1
        yield 1
    if done < len(request.lengths):
        yield len(request.lengths) - done


def _subject(request: CostRequest, sweep: Sweep, contender: Contender) -> Subject:
    def prepare(length: int) -> Callable[[], object]:
        case = request.case(sweep, length)
        mixer = contender.build(case.width, length, causal=case.mode == "causal", heads=request.heads)
        mixer.to(request.device)
        x = torch.randn(
            case.batch, length, case.width, device=request.device, requires_grad=case.phase == "training"
        )
        calls = {"forward": inference_call, "training": training_call, "decode": decoding_call}
        return calls[case.phase](mixer, x)

    return Subject(
        prepare,
        needs=lambda length: request.needs(contender, sweep, length),
        parts=lambda length: length if sweep.phase == "decode" else 1,
    )
