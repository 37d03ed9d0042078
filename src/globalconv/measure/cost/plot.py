"""What `globalconv cost` draws: seconds against length, with the roofline of what is counted."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from globalconv.display.drawing import Figure
from globalconv.display.numbers import round_duration
from globalconv.display.palette import Look, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, picture_files
from globalconv.measure.case import PHASE_WORDS, threads_words
from globalconv.measure.cost.contenders import CONTENDERS
from globalconv.measure.cost.table import names_in
from globalconv.measure.plot import Line, Point, plot_lines
from globalconv.measure.record import Record, Row

FRAME = Frame(4.1, 3.0, left=0.84)


def pictures(record: Record) -> Iterator[tuple[str, bytes]]:
    """File name -> content: for each phase one sheet, as PNG and as SVG, with a panel for each width.

    The same record gives the same bytes.
    """
    for phase, group in groupby(record.results, lambda row: row.case.phase):
        with house_style():
            yield from picture_files(f"cost-{phase}", _sheet(record, list(group)))


def _line(record: Record, rows: Sequence[Row], name: str, look: Look) -> Line:
    own = [row for row in rows if row.subject == name]
    points = [
        Point(
            row.case.length,
            row.ms / 1e3,
            row.ms_low / 1e3,
            row.ms_high / 1e3,
            least=row.roofline_ms and row.roofline_ms / 1e3,
        )
        for row in own
    ]
    sweep = own[0].case.phase, own[0].case.width, name
    stopped = any((left.case.phase, left.case.width, left.subject) == sweep for left in record.left_out)
    return Line(name, look, points, stopped=stopped)


def _sheet(record: Record, rows: list[Row]) -> Figure:
    # Attention is the first of them, and has the look that it has in a study's report.
    order = [*CONTENDERS, *(name for name in record.subjects if name not in CONTENDERS)]
    names = sorted(names_in(rows), key=order.index)
    looks = {name: look(order.index(name)) for name in names}
    case = rows[0].case
    panels = []
    for width, group in groupby(rows, lambda row: row.case.width):
        some = list(group)
        lines = [_line(record, some, name, looks[name]) for name in names_in(some)]
        plot = partial(plot_lines, lines=lines, ylabel="one call", words=round_duration)
        if case.phase == "decode":
            plot = partial(plot, ylabel="one token")
        panels.append(Panel(f"width {width}", plot, "", f"width {width}"))
    device = record.settings["device"]
    note = (
        f"{record.machine['cpu'] if device == 'cpu' else device}, {threads_words(case.threads)}, batch {case.batch}, "
        f"{case.mode}. Lines: medians, with the quartiles. Dashes: the roofline, the least that the counted flops and "
        "bytes take at the machine's own speeds."
    )
    return sheet(
        FRAME,
        panels,
        title=f"Cost against length: {PHASE_WORDS[case.phase]}",
        note=note,
        legend=looks,
        columns=2,
    )
