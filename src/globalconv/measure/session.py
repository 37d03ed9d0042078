"""What both commands do around their measuring: the directory, the progress, Ctrl-C, the table and the files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from globalconv.display.progress import Progress
from globalconv.host.atomic_files import make_directory, sweep_up, write_bytes, write_text
from globalconv.measure.record import Ended, Record, record_to_csv, record_to_json


def open_directory(out: Path) -> None:
    """Make ``out``, and write into it. Raises InputError where that fails, before anything is measured."""
    make_directory(out)
    sweep_up(out)
    write_bytes(out / ".writable", b"")
    (out / ".writable").unlink()


def run_session(
    name: str,
    out: Path,
    measuring: Iterator[int],
    *,
    total: int,
    unit: str,
    budget_seconds: float,
    console: Console,
    record: Callable[[Ended], Record],
    show: Callable[[Record, Console], None],
    draw: Callable[[Record], Iterator[tuple[str, bytes]]],
) -> Record:
    """Go through ``measuring``, which yields how many of ``total`` units are done after each step; show and write it.

    Ctrl-C ends the measuring and keeps what was done. ``draw`` yields the names and contents of picture files; it
    imports matplotlib itself, because that takes half a second. Nothing is written where nothing was measured.
    """
    ended: Ended = "complete"
    done = 0
    try:
        with Progress(console).phase("Measuring", runs=total, seconds=budget_seconds, unit=unit) as phase:
            for units in measuring:
                done += units
                phase.advance(budget_seconds / total * units, runs=units)
        if done < total:
            ended = "out of time"
    except KeyboardInterrupt:
        ended = "interrupted"
    found = record(ended)
    if found.results:
        show(found, console)
        write_text(out / f"{name}.json", record_to_json(found))
        write_text(out / f"{name}.csv", record_to_csv(found))
        for file, content in draw(found):
            write_bytes(out / file, content)
        console.print(f"\nWritten to {out}: {name}.json, {name}.csv and pictures.", soft_wrap=True)
    if ended == "interrupted":
        kept = f"{done} of {total} {unit} are kept." if found.results else "Nothing had been measured."
        Console(stderr=True).print(f"\nInterrupted. {kept}", soft_wrap=True, highlight=False)
    return found
