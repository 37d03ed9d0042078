"""What the terminal shows of a record: tables with a column for each length, and what was left out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from globalconv.measure.case import PHASE_WORDS, threads_words
from globalconv.measure.record import Record

NAME_WIDTH = 17


@dataclass(frozen=True)
class Cells:
    """One line of a table: its name, and length -> what stands there."""

    name: str
    cells: Mapping[int, str | Text]
    style: str = ""


def plain_table(first: str, *, width: int) -> Table:
    """A table without rules, whose first column is ``width`` wide."""
    table = Table(box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, min_width=width, no_wrap=True)
    return table


def length_tables(lines: Sequence[Cells], *, cell: int, width: int) -> Iterator[Table]:
    """As many columns, ``cell`` wide, to a table as there is room for; lines without a cell there are left out."""
    lengths = sorted({length for line in lines for length in line.cells})
    columns = max(1, (width - NAME_WIDTH) // cell)
    for start in range(0, len(lengths), columns):
        part = lengths[start : start + columns]
        table = plain_table("length", width=NAME_WIDTH - 1)
        for length in part:
            table.add_column(str(length), justify="right", min_width=cell - 2, no_wrap=True)
        for line in lines:
            if any(length in line.cells for length in part):
                table.add_row(line.name, *(line.cells.get(length, "") for length in part), style=line.style)
        yield table


@dataclass(frozen=True)
class Section:
    """The rows of a record that differ in their length alone, as a table under a title; ``cell``: a column's width."""

    title: str
    lines: Sequence[Cells]
    cell: int
    below: Table | None = None


def print_sections(
    record: Record, sections: Iterable[Section], console: Console, *, explanation: str
) -> None:
    """Print the machine's speeds, the sections, what their numbers mean, and what was left out and why."""
    for speeds in record.speeds:
        console.print(
            f"{threads_words(speeds.threads)}: copies {speeds.bytes_per_second / 1e9:.1f} GB/s, multiplies "
            f"matrices at {speeds.flops_per_second / 1e9:.0f} GFlop/s.",
            highlight=False,
            soft_wrap=True,
        )

    for section in sections:
        console.print()
        console.print(Text(section.title, "bold"), soft_wrap=True)
        for table in length_tables(section.lines, cell=section.cell, width=console.width):
            console.print(table)
        if section.below is not None:
            console.print(section.below)
    console.print(explanation, highlight=False, markup=False)
    for line in _left_out(record):
        console.print(line, highlight=False, markup=False)


def _left_out(record: Record) -> Iterator[str]:
    for name, why in record.absent.items():
        yield f"Not measured: {name}, {why}."
    reasons: dict[tuple[str, int, str, str], list[int]] = {}
    for left in record.left_out:
        decoding = f", {PHASE_WORDS['decode']}" * (left.case.phase == "decode")
        reasons.setdefault((left.subject, left.case.width, decoding, left.why), []).append(left.case.length)
    for (name, width, decoding, why), lengths in reasons.items():
        span = f"{min(lengths)} to {max(lengths)}" if len(set(lengths)) > 1 else str(lengths[0])
        yield f"Left out: {name} at {span}, width {width}{decoding}: {why}."
    if record.ended == "out of time":
        yield "The budget was spent before the last case: give a larger --budget, or fewer --lengths."


def digits_words(number: float, digits: int) -> str:
    """A number with ``digits`` significant digits, and all that are before the point."""
    return f"{number:.0f}" if number >= 10**digits - 0.5 else f"{number:.{digits}g}"
