"""From a request to a table on the terminal and files on disk: what ``globalconv bench`` does."""

from pathlib import Path

from rich.console import Console

from globalconv.bench.machine import TUNABLES, allocator
from globalconv.bench.measure import Measured, measure
from globalconv.bench.record import Ended, Record, record_to_csv, record_to_json
from globalconv.bench.request import BenchRequest, not_here
from globalconv.bench.table import print_record
from globalconv.display.progress import Progress
from globalconv.host.atomic_files import make_directory, sweep_up, write_bytes, write_text
from globalconv.host.devices import device_line
from globalconv.host.machine import machine_facts


def run_bench(request: BenchRequest, out: Path, *, console: Console) -> Record:
    """Measure what was asked for, print it, and write bench.json, bench.csv and the pictures into ``out``.

    Ctrl-C ends the measuring and keeps the cases that were done. Raises InputError for what cannot be
    measured here or written there, before anything is measured.
    """
    cases, ways = request.cases(), request.ways()
    make_directory(out)
    sweep_up(out)
    regime = allocator()
    advice = "" if regime == "tuned" else f" GLIBC_TUNABLES={TUNABLES} would have memory reused."
    console.print(f"{device_line('cpu')} Allocator: {regime}.{advice}", highlight=False, soft_wrap=True)
    found: list[Measured] = []
    ended: Ended = "complete"
    progress, share = Progress(console), request.budget_seconds / len(cases)
    try:
        with progress.phase(
            "Measuring", runs=len(cases), seconds=request.budget_seconds, unit="cases"
        ) as phase:
            for measured in measure(request, cases, ways):
                found.append(measured)
                phase.advance(share)
        if len(found) < len(cases):
            ended = "out of time"
    except KeyboardInterrupt:
        ended = "interrupted"
    record = Record(
        machine=machine_facts(),
        allocator=regime,
        elements=request.elements,
        rounds=request.rounds,
        ways={name: way.what for name, way in ways.items()},
        not_here={} if request.peers else not_here(),
        speeds=list(dict.fromkeys(measured.speeds for measured in found)),
        results=[row for measured in found for row in measured.rows],
        left_out=[left for measured in found for left in measured.left_out],
        ended=ended,
    )
    if found:
        print_record(record, console)
        write_record(record, out)
        console.print(f"\nWritten to {out}: bench.json, bench.csv and pictures.", soft_wrap=True)
    if ended == "interrupted":
        kept = f"{len(found)} of {len(cases)} cases are kept." if found else "Nothing had been measured."
        Console(stderr=True).print(f"\nInterrupted. {kept}", soft_wrap=True, highlight=False)
    return record


def write_record(record: Record, out: Path) -> None:
    """Write what was measured into the directory ``out``: as JSON, as CSV, as pictures."""
    # Here and not above: matplotlib takes half a second that the terminal should not wait for.
    from globalconv.bench.picture import pictures

    write_text(out / "bench.json", record_to_json(record))
    write_text(out / "bench.csv", record_to_csv(record))
    for name, content in pictures(record):
        write_bytes(out / name, content)
