"""What `globalconv bench` draws: the ratio of each implementation to the baseline, against the length."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from globalconv.display.drawing import Axes, Figure, FixedLocator
from globalconv.display.palette import Look, light, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, picture_files
from globalconv.measure.bench.backends import backends
from globalconv.measure.bench.peers import peers
from globalconv.measure.bench.table import compared, grouped
from globalconv.measure.case import threads_words
from globalconv.measure.plot import Line, Point, plot_lines
from globalconv.measure.record import Record, Row

FRAME = Frame(4.1, 2.7, left=0.66)
SOMETHING_ELSE = ("attention",)
TICKS = tuple(step * 10.0**power for power in range(-2, 4) for step in (1, 2, 5))


def pictures(record: Record) -> Iterator[tuple[str, bytes]]:
    """File name -> content: for each width and number of threads one sheet, as PNG and as SVG.

    It has a panel for each mode, gating and phase. The same record gives the same bytes.
    """

    def of_sheet(row: Row) -> tuple[int, int]:
        return row.case.width, row.case.threads

    for (width, threads), group in groupby(sorted(record.results, key=of_sheet), of_sheet):
        rows = list(group)
        if not compared(rows):
            continue
        name = f"speed-width{width}-threads{threads}"
        with house_style():
            figure = _sheet(record, rows, f"width {width}, {threads_words(threads)}")
            yield from picture_files(name, figure)


def plot_ratios(
    axes: Axes, rows: Sequence[Row], looks: Mapping[str, Look], limits: tuple[float, float]
) -> None:
    """Each implementation's time by the baseline's, with the quartiles of the ratios within a round."""
    lines = [
        Line(name, looks[name], _points(rows, name), dashed=name in SOMETHING_ELSE) for name in compared(rows)
    ]
    plot_lines(axes, lines, ylabel="time / baseline's", words=lambda value: f"{value:g}")
    axes.axhline(1, color=light("ink"), linewidth=1.2, zorder=2)
    axes.set_ylim(*limits)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if limits[0] <= tick <= limits[1]]))


def _points(rows: Sequence[Row], name: str) -> list[Point]:
    return [
        Point(row.case.length, row.ratio or 0, row.ratio_low or 0, row.ratio_high or 0)
        for row in rows
        if row.subject == name
    ]


def _sheet(record: Record, rows: Sequence[Row], size: str) -> Figure:
    labels = {one.name: one.label for one in (*peers(), *backends())}
    # Attention keeps the look that it has in a study's report.
    looks = {name: look(0 if name == "attention" else number) for number, name in enumerate(labels, start=1)}
    names = [name for name in labels if name in compared(rows)]
    ratios = [end for name in names for p in _points(rows, name) for end in (p.low, p.value, p.high)]
    # Shared by the panels, so that they can be laid beside each other; 1 is always in sight.
    limits = 0.85 * min(0.9, *ratios), 1.2 * max(1.2, *ratios)
    panels = [
        Panel(case.words(), partial(plot_ratios, rows=some, looks=looks, limits=limits), "", case.words())
        for case, some in grouped(rows)
        if compared(some)
    ]
    baselines = " or ".join(dict.fromkeys(row.baseline or "" for row in rows))
    note = (
        f"{record.machine['cpu']}, {size}, {record.settings['elements']:,} numbers in each tensor, "
        f"{record.settings['allocator']} allocator. Above 1, global_conv ({baselines}) is faster. Bands: quartiles of "
        "the ratios within a round."
    )
    return sheet(
        FRAME,
        panels,
        title="The operator beside its peers",
        note=note,
        legend={labels[name]: looks[name] for name in names},
        columns=2,
    )
