"""What was measured, on the terminal."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from globalconv.bench.case import Case
from globalconv.bench.record import Record, Row
from globalconv.ops.interface import MODES

NAME_WIDTH = 17
CELL_WIDTHS = (13, 7)
"""Of a ratio with its quartiles, and of one without."""


def print_record(record: Record, console: Console) -> None:
    """Print the machine's speeds, a table for each mode, gating and pass, and what was left out and why.

    Quartiles come along where the terminal is wide enough for them.
    """
    for speeds in record.speeds:
        console.print(
            f"{threads_words(speeds.threads)}: copies {speeds.bytes_per_second / 1e9:.1f} GB/s, multiplies "
            f"matrices at {speeds.flops_per_second / 1e9:.0f} GFlop/s.",
            highlight=False,
            soft_wrap=True,
        )
    for case, rows in grouped(record.results):
        console.print()
        title = f"{case.words()}, width {case.width}, {threads_words(case.threads)}"
        console.print(Text(title, "bold"), soft_wrap=True)
        names = [name for name in record.ways if name in ways_in(rows)]
        for table in _tables(rows, names, console.width):
            console.print(table)
    if record.results:
        console.print(
            "\nA peer's time by ours within a round, the median over the rounds: above 1, ours is faster. In brackets "
            "its quartiles, where there is room. 'x floor': our time by the least that this machine could take.",
            highlight=False,
            markup=False,
        )
    for line in _left_out(record):
        console.print(line, highlight=False, markup=False)


def grouped(rows: Iterable[Row]) -> Iterator[tuple[Case, list[Row]]]:
    """The rows that differ in the length alone, with one of their cases."""

    def key(row: Row) -> tuple[int, int, bool, int, bool]:
        case = row.case
        return case.threads, case.width, case.gated, MODES.index(case.mode), case.backward

    for _, group in groupby(sorted(rows, key=key), key):
        together = list(group)
        yield together[0].case, together


def ways_in(rows: Iterable[Row]) -> list[str]:
    """The ways that stand beside ours in ``rows``."""
    return list(dict.fromkeys(row.way for row in rows if row.way != row.ours))


def _tables(rows: list[Row], names: list[str], width: int) -> Iterator[Table]:
    """A row for each way, a column for each length; as many columns to a table as there is room for."""
    lengths = sorted({row.case.length for row in rows})
    room = max(width - NAME_WIDTH, CELL_WIDTHS[-1])
    cell = next((cell for cell in CELL_WIDTHS if cell * len(lengths) <= room), CELL_WIDTHS[-1])
    columns = room // cell
    for start in range(0, len(lengths), columns):
        part = lengths[start : start + columns]
        table = Table(box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("length", min_width=NAME_WIDTH - 1, no_wrap=True)
        for length in part:
            table.add_column(str(length), justify="right", min_width=cell - 1, no_wrap=True)
        mine = {row.case.length: row for row in rows if row.way == row.ours}
        backends = " or ".join(dict.fromkeys(mine[length].way for length in part))
        table.add_row(f"{backends}, ms", *(f"{mine[length].ms:.4g}" for length in part))
        table.add_row("  x floor", *(f"{mine[length].over_floor or 0:.1f}" for length in part))
        table.add_row("  error", *(f"{mine[length].error or 0:.0e}" for length in part))
        for name in names:
            beside = {row.case.length: row for row in rows if row.way == name}
            cells = [_ratio(beside[length], cell) if length in beside else "" for length in part]
            table.add_row(name, *cells)
        yield table


def _ratio(row: Row, cell: int) -> Text:
    ratio = Text(ratio_words(row.ratio), "red" if row.ratio_high < 1 else "")
    if cell == CELL_WIDTHS[0]:
        ratio.append(f"\n({ratio_words(row.ratio_low)}-{ratio_words(row.ratio_high)})", "dim")
    return ratio


def ratio_words(ratio: float) -> str:
    """A ratio as people read it: 0.42, 3.41, 12.3, 105."""
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


def _left_out(record: Record) -> Iterator[str]:
    for name, why in record.not_here.items():
        yield f"Not measured: {name}, {why}."
    reasons: dict[tuple[str, str], list[int]] = {}
    for left in record.left_out:
        reasons.setdefault((left.way, left.why), []).append(left.case.length)
    for (name, why), lengths in reasons.items():
        span = f"{min(lengths)} to {max(lengths)}" if len(set(lengths)) > 1 else str(lengths[0])
        yield f"Left out: {name} at {span}, where {why}."
    if record.ended == "out of time":
        yield "The budget was spent before the last case: give a larger --budget, or fewer --lengths."


def threads_words(threads: int) -> str:
    """A number of threads, in words."""
    return f"{threads} thread{'s' * (threads != 1)}"
