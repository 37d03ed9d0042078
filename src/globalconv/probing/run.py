"""Run all probes: ``globalconv probe`` and ``globalconv.probe``."""

from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from globalconv.display.numbers import format_duration
from globalconv.display.progress import Progress
from globalconv.errors import InputError
from globalconv.host.atomic_files import make_directory, sweep_up, write_bytes, write_json
from globalconv.host.devices import device_line, resolve_device
from globalconv.probing.questions import Findings, Question, questions
from globalconv.probing.record import record
from globalconv.probing.target import ProbeRequest, Target, find_target, is_mixer

WORTH_SAYING = 15.0
"""Seconds."""


def run_probe(request: ProbeRequest, out: Path, *, console: Console) -> Findings:
    """Run every probe, print the table, and write probe.json and the pictures into ``out``.

    Raises InputError, after a few timed evaluations, if the subject cannot be probed within the limits of time and
    memory, or if ``out`` cannot be written.
    """
    request = replace(request, device=resolve_device(request.device))
    target, asked, seconds = _prepared(request)
    if seconds > request.budget_seconds:
        raise InputError(_too_long(request, target, seconds))
    make_directory(out)
    sweep_up(out)
    console.print(device_line(request.device), highlight=False, soft_wrap=True)
    console.print(
        f"{target.what[0].upper()}{target.what[1:]}.", highlight=False, markup=False, soft_wrap=True
    )
    if seconds > WORTH_SAYING:
        console.print(f"This takes about {format_duration(seconds)}.", highlight=False, soft_wrap=True)
    findings = Findings()
    with Progress(console).phase("Probing", runs=len(asked), seconds=seconds, unit="probes") as phase:
        for question in asked:
            shown = 0.0

            def report(done: int, rows: int, expected: float = question.seconds) -> None:
                nonlocal shown
                phase.advance(expected * done / rows - shown, runs=0)
                shown = expected * done / rows

            question.ask(findings, report)
            phase.advance(question.seconds - shown)
    bare = is_mixer(request.subject)
    console.print(_table(findings))
    for line in _beside(findings, bare=bare):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _write(target, request, findings, out, bare=bare)
    console.print(f"\nWritten to {out}: probe.json and four pictures.", highlight=False, soft_wrap=True)
    return findings


def _prepared(request: ProbeRequest) -> tuple[Target, list[Question], float]:
    """The target, the probes to run, and their estimated seconds; it stops once these exceed the budget."""
    target = find_target(request)
    target = replace(target, model=target.model.to(request.device), inputs=target.inputs.to(request.device))
    asked: list[Question] = []
    seconds = 0.0
    for question in questions(target, request):
        asked.append(question)
        seconds += question.seconds
        if seconds > request.budget_seconds:
            break
    return target, asked, seconds


def _too_long(request: ProbeRequest, target: Target, seconds: float) -> str:
    """The error message, with the longest power of two that fits into the budget, if the length can be chosen."""
    whole = length = int(target.inputs.shape[1])
    instead, least = "", seconds
    while length > 2:
        # The slowest probes grow at least with the square of the length.
        fits = length * (request.budget_seconds / least) ** 0.5
        length = min(1 << max(1, int(fits).bit_length() - 1), (length + 1) // 2)
        try:
            _, _, least = _prepared(replace(request, length=length))
        except InputError:  # this model has a fixed length
            break
        if least <= request.budget_seconds:
            instead = f"--length {length} (about {format_duration(least)}), or "
            break
    return (
        f"probing {target.name} at length {whole} would take more than {format_duration(seconds)}, but --budget is "
        f"{format_duration(request.budget_seconds)}. Give {instead}a larger --budget."
    )


def _write(target: Target, request: ProbeRequest, findings: Findings, out: Path, *, bare: bool) -> None:
    # Imported here, because matplotlib takes half a second, which an error message should not wait for.
    from globalconv.probing.pictures import pictures

    write_json(out / "probe.json", record(target, request, findings))
    for name, content in pictures(target, findings, bare=bare):
        write_bytes(out / name, content)


def _table(findings: Findings) -> Table:
    table = Table("probe", "found", box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for name, result in findings.results.items():
        table.add_row(name, result.line)
    for name, why in findings.not_asked.items():
        table.add_row(name, f"not run: {why}", style="dim")
    return table


def _beside(findings: Findings, *, bare: bool) -> list[str]:
    """One line for each of the three claims, and the notes on the evaluation."""
    orders = [
        f"{name} {', '.join(order.number for order in by_depth.values())}"
        for name, by_depth in findings.orders.items()
    ]
    maps = [
        f"{name} {', '.join('some' if found.interacts else 'none' for found in maps.values())}"
        for name, maps in findings.maps.items()
    ]
    contents = [
        f"{name} {', '.join(f'{c.share:.2f}' if c.depends else '0' for c in found)}"
        for name, found in findings.contents.items()
    ]
    where = "mixers with squares between them" if bare else "from the input"
    lines = [
        f"Tokens that act jointly after 1, 2, ... layers ({where}): {'; '.join(orders)}.",
        f"Pairs that interact after 1 and 2 layers: {'; '.join(maps)}.",
        f"Content dependence of {'a mixer alone' if bare else 'each layer by itself'}: {'; '.join(contents)}.",
    ]
    notes = dict.fromkeys(note for result in findings.results.values() for note in result.notes)
    return [*lines, *(f"Note: {note}." for note in notes)]
