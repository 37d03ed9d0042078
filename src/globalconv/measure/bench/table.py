"""What `globalconv bench` shows on the terminal."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from globalconv.measure.case import PHASE_WORDS, Case, threads_words
from globalconv.measure.record import Record, Row
from globalconv.measure.table import NAME_WIDTH, Cells, Section, print_sections
from globalconv.ops.interface import MODES

CELL_WIDTHS = (13, 8)
"""A ratio with its quartiles, and one without."""
EXPLANATION = (
    "\nRatios: the time by that of the first line, within a round; the median over the rounds, and in brackets the "
    "quartiles, where there is room. Above 1, the first line is faster. 'x roofline': its time by the least that this "
    "machine could take."
)


def print_record(record: Record, console: Console) -> None:
    """Print a table for each mode, gating and phase; ratios come with quartiles where the terminal is wide enough."""
    sections = []
    for case, rows in grouped(record.results):
        num_lengths = len({row.case.length for row in rows})
        room = max(console.width - NAME_WIDTH, CELL_WIDTHS[-1])
        cell = next((cell for cell in CELL_WIDTHS if cell * num_lengths <= room), CELL_WIDTHS[-1])
        names = [name for name in record.subjects if name in compared(rows)]
        title = f"{case.words()}, width {case.width}, {threads_words(case.threads)}"
        ratios = (
            Cells(name, {row.case.length: _ratio(row, cell) for row in rows if row.subject == name})
            for name in names
        )
        lines = [*_baseline(rows), *ratios]
        sections.append(Section(title, lines, cell))
    print_sections(record, sections, console, explanation=EXPLANATION)


def grouped(rows: Iterable[Row]) -> Iterator[tuple[Case, list[Row]]]:
    """The rows that differ in the length alone, with one of their cases."""

    def key(row: Row) -> tuple[int, int, bool, int, int]:
        case = row.case
        phase = list(PHASE_WORDS).index(case.phase)
        return case.threads, case.width, case.gated, MODES.index(case.mode), phase

    for _, group in groupby(sorted(rows, key=key), key):
        together = list(group)
        yield together[0].case, together


def compared(rows: Iterable[Row]) -> list[str]:
    """The implementations that are compared with the baseline in ``rows``."""
    return list(dict.fromkeys(row.subject for row in rows if row.subject != row.baseline))


def _baseline(rows: list[Row]) -> Iterator[Cells]:
    at = {row.case.length: row for row in rows if row.subject == row.baseline}
    names = " or ".join(dict.fromkeys(row.subject for row in at.values()))
    yield Cells(f"{names}, ms", {length: f"{row.ms:.4g}" for length, row in at.items()})
    yield Cells("  x roofline", {length: f"{row.over_roofline or 0:.1f}" for length, row in at.items()})
    yield Cells("  error", {length: f"{row.error or 0:.0e}" for length, row in at.items()})


def _ratio(row: Row, cell: int) -> Text:
    ratio, low, high = row.ratio or 0.0, row.ratio_low or 0.0, row.ratio_high or 0.0
    text = Text(ratio_words(ratio), "red" if high < 1 else "")
    if cell == CELL_WIDTHS[0]:
        text.append(f"\n({ratio_words(low)}-{ratio_words(high)})", "dim")
    return text


def ratio_words(ratio: float) -> str:
    """A ratio as people read it: 0.42, 3.41, 12.3, 105."""
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"
