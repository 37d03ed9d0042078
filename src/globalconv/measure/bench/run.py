"""From a request to a table on the terminal and files on disk: what ``globalconv bench`` does."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from globalconv.host.devices import device_line
from globalconv.host.machine import machine_facts
from globalconv.measure.allocator import TUNABLES, allocator
from globalconv.measure.bench.measuring import Measured, measure
from globalconv.measure.bench.request import BenchRequest, absent
from globalconv.measure.bench.table import print_record
from globalconv.measure.record import Ended, Record
from globalconv.measure.session import open_directory, run_session

QUESTION = "How fast is the operator, against other implementations and against the machine's roofline?"


def run_bench(request: BenchRequest, out: Path, *, console: Console) -> Record:
    """Measure what was asked for, print it, and write bench.json, bench.csv and the pictures into ``out``.

    Ctrl-C ends the measuring and keeps the cases that were done. Raises InputError for what cannot be
    measured here or written there, before anything is measured.
    """
    cases, implementations = request.cases(), request.implementations()
    open_directory(out)
    regime = allocator()
    advice = "" if regime == "tuned" else f" GLIBC_TUNABLES={TUNABLES} makes it reuse memory."
    console.print(f"{device_line('cpu')} Allocator: {regime}.{advice}", highlight=False, soft_wrap=True)
    found: list[Measured] = []

    def measuring() -> Iterator[int]:
        for measured in measure(request, cases, implementations):
            found.append(measured)
            yield 1

    def record(ended: Ended) -> Record:
        return Record(
            question=QUESTION,
            machine=machine_facts(),
            settings={"allocator": regime, "elements": request.elements, "rounds": request.rounds},
            subjects={name: one.what for name, one in implementations.items()},
            absent={} if request.peers else absent(),
            speeds=list(dict.fromkeys(measured.speeds for measured in found)),
            results=[row for measured in found for row in measured.rows],
            left_out=[left for measured in found for left in measured.left_out],
            ended=ended,
        )

    return run_session(
        "bench",
        out,
        measuring(),
        total=len(cases),
        unit="cases",
        budget_seconds=request.budget_seconds,
        console=console,
        record=record,
        show=print_record,
        draw=_draw,
    )


def _draw(record: Record) -> Iterator[tuple[str, bytes]]:
    from globalconv.measure.bench.plot import pictures

    return pictures(record)
