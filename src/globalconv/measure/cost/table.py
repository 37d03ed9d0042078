"""What `globalconv cost` shows on the terminal."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Table

from globalconv.display.numbers import format_bytes
from globalconv.measure.case import Phase
from globalconv.measure.cost.contenders import RIVAL
from globalconv.measure.record import Crossing, Exponent, Measure, Record, Row
from globalconv.measure.table import Cells, Section, digits_words, plain_table, print_sections

CELL_WIDTH = 13
MEASURES: tuple[Measure, ...] = ("flops", "bytes", "seconds")
EXPLANATION = (
    "Times: the median, and the quartiles where they are more than 10 % apart. GFlop/s, GB/s: the counted flops and "
    "bytes over the median. Peak: the tensors that a call makes. Grows as: the exponent of the length in the seconds, "
    "over the longest lengths, with a 95 % interval over the repetitions; and in the flops. By flops, bytes (counted), "
    f"seconds (measured): from which length on it costs less than {RIVAL}; '>' and a length: nowhere up to it."
)


def print_record(record: Record, console: Console) -> None:
    """Print each sweep's points, growth and crossovers."""
    sections = [
        Section(
            sweep_words(rows[0]),
            [line for name in names_in(rows) for line in _lines(rows, name)],
            CELL_WIDTH,
            below=_summary(record, phase, width, names_in(rows)),
        )
        for (phase, width), rows in sweeps_of(record)
    ]
    print_sections(record, sections, console, explanation=EXPLANATION)


def sweeps_of(record: Record) -> Iterator[tuple[tuple[Phase, int], list[Row]]]:
    """The rows of each phase and width."""
    for key, rows in groupby(record.results, lambda row: (row.case.phase, row.case.width)):
        yield key, list(rows)


def names_in(rows: Iterable[Row]) -> list[str]:
    """The mixers in ``rows``."""
    return list(dict.fromkeys(row.subject for row in rows))


def sweep_words(row: Row) -> str:
    """The sweep of ``row``, as a title says it."""
    return f"{row.case.words()}, width {row.case.width}, batch {row.case.batch}"


def _lines(rows: list[Row], name: str) -> Iterator[Cells]:
    """Four lines for each mixer; without the speeds that are not known."""
    at = {row.case.length: row for row in rows if row.subject == name}
    yield Cells(f"{name}, ms", {length: _time(row) for length, row in at.items()})
    flops = {length: _giga(row.flops_per_second) for length, row in at.items() if row.flops is not None}
    moved = {length: _giga(row.bytes_per_second) for length, row in at.items() if row.moved_bytes is not None}
    yield Cells("  GFlop/s", flops, "dim")
    yield Cells("  GB/s", moved, "dim")
    yield Cells("  peak", {length: format_bytes(row.peak_bytes or 0) for length, row in at.items()}, "dim")


def _time(row: Row) -> str:
    wide = row.ms_high - row.ms_low > 0.1 * row.ms
    return digits_words(row.ms, 3) + f"\n{digits_words(row.ms_low, 2)}-{digits_words(row.ms_high, 2)}" * wide


def _giga(speed: float | None) -> str:
    return "" if speed is None else digits_words(speed / 1e9, 3)


def _summary(record: Record, phase: Phase, width: int, names: list[str]) -> Table:
    table = plain_table("grows as", width=11)
    for head in ("L^seconds", "L^flops", *(f"by {by}" for by in MEASURES)):
        table.add_column(head, justify="right", no_wrap=True)
    for name in names:
        fit, crossings = summary_of(record, phase, width, name)
        growth = f"{fit.exponent:.2f} ({fit.low:.2f}-{fit.high:.2f})" if fit else ""
        of_flops = f"{fit.flops:.2f}" if fit and fit.flops is not None else ""
        table.add_row(name, growth, of_flops, *crossings)
    return table


def summary_of(record: Record, phase: Phase, width: int, name: str) -> tuple[Exponent | None, list[str]]:
    """How a mixer's seconds grow, None where it is not known; and where it crosses attention, by each of MEASURES."""
    key = phase, width, name
    fit = next((e for e in record.scaling if (e.phase, e.width, e.subject) == key), None)
    found: dict[Measure, Crossing] = {
        c.by: c for c in record.crossovers if (c.phase, c.width, c.subject) == key
    }
    return fit, [found[by].short() if by in found else "" for by in MEASURES]
