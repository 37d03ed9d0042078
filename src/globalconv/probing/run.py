"""From a request to a table on the terminal and files on disk: what ``globalconv probe`` does."""

from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from globalconv.probing.ask import Findings, questions
from globalconv.probing.record import record
from globalconv.probing.target import ProbeRequest, Target, find_target, is_mixer
from globalconv.study.progress import Progress
from globalconv.study.run import resolve_device
from globalconv.training.files import make_directory, write_bytes, write_json

SECONDS = 30.0
"""A first guess at how long it takes; what is done already corrects it."""


def run_probe(request: ProbeRequest, out: Path, *, console: Console) -> Findings:
    """Put every probe to the subject, print the table, and write probe.json and the pictures into ``out``.

    Raises InputError for what cannot be probed or written, before anything is computed.
    """
    request = replace(request, device=resolve_device(request.device))
    target = find_target(request)
    target = replace(target, model=target.model.to(request.device), inputs=target.inputs.to(request.device))
    asked = questions(target, request)
    make_directory(out)
    console.print(
        f"{target.what[0].upper()}{target.what[1:]}.", highlight=False, markup=False, soft_wrap=True
    )
    findings = Findings()
    with Progress(console).phase("Probing", runs=len(asked), seconds=SECONDS, unit="probes") as phase:
        for _, ask in asked:
            ask(findings)
            phase.advance(SECONDS / len(asked))
    bare = is_mixer(request.subject)
    console.print(_table(findings))
    for line in _beside(findings, bare=bare):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _write(target, request, findings, out, bare=bare)
    console.print(f"\nWritten to {out}: probe.json and four pictures.", highlight=False, soft_wrap=True)
    return findings


def _write(target: Target, request: ProbeRequest, findings: Findings, out: Path, *, bare: bool) -> None:
    # Here and not above: matplotlib takes half a second that a mistake should not wait for.
    from globalconv.probing.pictures import pictures

    write_json(out / "probe.json", record(target, request, findings))
    for name, content in pictures(target, findings, bare=bare):
        write_bytes(out / name, content)


def _table(findings: Findings) -> Table:
    table = Table("probe", "found", box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for name, result in findings.results.items():
        table.add_row(name, result.line)
    for name, why in findings.not_asked.items():
        table.add_row(name, f"not asked: {why}", style="dim")
    return table


def _beside(findings: Findings, *, bare: bool) -> list[str]:
    """The three claims in a line each, and what had to be said about the evaluation."""
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
    where = "mixers with squares between" if bare else "from the input"
    lines = [
        f"Tokens that act jointly after 1, 2, ... layers ({where}): {'; '.join(orders)}.",
        f"Pairs that interact after 1 and 2 layers: {'; '.join(maps)}.",
        f"Content dependence of {'a mixer alone' if bare else 'each layer by itself'}: {'; '.join(contents)}.",
    ]
    notes = dict.fromkeys(note for result in findings.results.values() for note in result.notes)
    return [*lines, *(f"Note: {note}." for note in notes)]
