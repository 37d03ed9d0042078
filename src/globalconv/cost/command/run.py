"""From a request to a table on the terminal and files on disk."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console

from globalconv.bench.floor import measure_speeds
from globalconv.cost.command.findings import Findings
from globalconv.cost.command.record import Ended, Record, record_to_csv, record_to_json
from globalconv.cost.command.request import CostRequest, Sweep
from globalconv.cost.command.table import print_record
from globalconv.cost.contenders import Contender
from globalconv.cost.decode import decoder_of
from globalconv.cost.measuring import CostCurve, Subject, grow_curves, inference_call, training_call
from globalconv.display.progress import Phase, Progress
from globalconv.host.atomic_files import make_directory, sweep_up, write_bytes, write_text
from globalconv.host.devices import device_line, resolve_device
from globalconv.host.machine import machine_facts


def run_cost(request: CostRequest, out: Path, *, console: Console) -> Record:
    """Measure what was asked for, print it, and write cost.json, cost.csv and the pictures into ``out``.

    Ctrl-C ends the measuring and keeps what was measured. Raises InputError for what cannot be measured here or
    written there, before anything is measured. Sets torch's number of threads.
    """
    request = replace(request, device=resolve_device(request.device))
    sweeps, left_out = request.sweeps()
    make_directory(out)
    sweep_up(out)
    write_bytes(out / ".writable", b"")  # what cannot be written is better known now
    (out / ".writable").unlink()
    console.print(device_line(request.device), highlight=False, soft_wrap=True)
    torch.set_num_threads(request.threads)
    found: list[Findings] = []
    speeds = []
    ended: Ended = "complete"
    try:
        _warm_up(request, sweeps)
        speeds.append(measure_speeds(request.threads, device=request.device))
        points = len(sweeps) * len(request.lengths)
        with Progress(console).phase(
            "Measuring", runs=points, seconds=request.budget_seconds, unit="lengths"
        ) as progress:
            end = time.monotonic() + request.budget_seconds
            # Decoding first: it takes little, and leaves the rest of its share to the others.
            for number, sweep in enumerate(sorted(sweeps, key=lambda sweep: sweep.phase != "decode")):
                share = max(end - time.monotonic(), 0.0) / (len(sweeps) - number)
                found.append(Findings(request, sweep, [CostCurve(c.name) for c in sweep.contenders]))
                _measure(found[-1], share, progress)
    except KeyboardInterrupt:
        ended = "interrupted"
    found.sort(key=lambda findings: sweeps.index(findings.sweep))
    record = Record(
        machine=machine_facts(),
        device=request.device,
        threads=request.threads,
        mode=request.mode,
        batch=request.batch,
        heads=request.heads,
        rounds=request.rounds,
        budget_seconds=request.budget_seconds,
        memory_bytes=request.memory,
        mixers={contender.name: contender.what for sweep in sweeps for contender in sweep.contenders},
        left_out=left_out,
        speeds=speeds,
        results=[row for findings in found for row in findings.rows()],
        stopped=[stopped for findings in found for stopped in findings.stopped()],
        crossovers=[crossing for findings in found for crossing in findings.crossovers()],
        scaling=[exponent for findings in found for exponent in findings.scaling()],
        ended=ended,
    )
    if record.results:
        print_record(record, console)
        write_record(record, out)
        console.print(f"\nWritten to {out}: cost.json, cost.csv and pictures.", soft_wrap=True)
    if ended == "interrupted":
        kept = f"{len(record.results)} points are kept." if record.results else "Nothing had been measured."
        Console(stderr=True).print(f"\nInterrupted. {kept}", soft_wrap=True, highlight=False)
    return record


def write_record(record: Record, out: Path) -> None:
    """Write what was found into the directory ``out``: as JSON, as CSV, as pictures."""
    # Here and not above: matplotlib takes half a second that the terminal should not wait for.
    from globalconv.cost.command.picture import pictures

    write_text(out / "cost.json", record_to_json(record))
    write_text(out / "cost.csv", record_to_csv(record))
    for name, content in pictures(record):
        write_bytes(out / name, content)


def _warm_up(request: CostRequest, sweeps: Sequence[Sweep]) -> None:
    """Call everyone once: the fused kernels are compiled at their first call, which is no cost of a mixer."""
    first = min(request.lengths)
    for sweep in sweeps:
        for contender in sweep.contenders:
            if (request.needs(contender, sweep, first) or 0.0) <= request.memory_limit():
                _subject(request, sweep, contender).prepare(first)()


def _measure(findings: Findings, seconds: float, progress: Phase) -> None:
    """Fill the findings' curves, in place, so that an interruption keeps them."""
    request, sweep = findings.request, findings.sweep
    subjects = {contender.name: _subject(request, sweep, contender) for contender in sweep.contenders}
    planned = request.budget_seconds / progress.runs
    done = 0
    for curves in grow_curves(
        subjects,
        request.lengths,
        seconds=seconds,
        memory=request.memory_limit(),
        device=request.device,
        repetitions=request.rounds,
    ):
        findings.curves[:] = curves
        progress.advance(planned)
        done += 1
    if done < len(request.lengths):
        progress.advance(planned * (len(request.lengths) - done), runs=len(request.lengths) - done)


def _subject(request: CostRequest, sweep: Sweep, contender: Contender) -> Subject:
    def prepare(length: int) -> Callable[[], object]:
        decoding = sweep.phase == "decode"
        mixer = contender.build(
            sweep.width, length, causal=request.causal or decoding, heads=request.heads
        ).to(request.device)
        if decoding:
            decoder = decoder_of(
                mixer, torch.randn(request.batch, length - 1, sweep.width, device=request.device)
            )
            token = torch.randn(request.batch, sweep.width, device=request.device)
            return torch.no_grad()(lambda: decoder.step(token))
        training = sweep.phase == "training"
        x = torch.randn(request.batch, length, sweep.width, device=request.device, requires_grad=training)
        return (training_call if training else inference_call)(mixer, x)

    return Subject(prepare, lambda length: request.needs(contender, sweep, length))
