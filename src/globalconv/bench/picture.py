"""What was measured, as pictures: the ratio to every peer against the length."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from globalconv.bench.ours import ours
from globalconv.bench.peers import peers
from globalconv.bench.record import Record, Row
from globalconv.bench.table import grouped, threads_words, ways_in
from globalconv.display.axes import SMALL, dress, legible
from globalconv.display.drawing import Axes, Figure, FixedLocator, FuncFormatter, NullLocator
from globalconv.display.palette import Look, light, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, to_png, to_svg

FRAME = Frame(4.1, 2.7, left=0.66)
DASHED = ("attention",)
"""What computes something else."""
TICKS = tuple(step * 10.0**power for power in range(-2, 4) for step in (1, 2, 5))


def pictures(record: Record) -> Iterator[tuple[str, bytes]]:
    """File name -> content: for each width and number of threads one sheet, as PNG and as SVG.

    It has a panel for each mode, gating and pass. The same record gives the same bytes.
    """

    def of_sheet(row: Row) -> tuple[int, int]:
        return row.case.width, row.case.threads

    for (width, threads), group in groupby(sorted(record.results, key=of_sheet), of_sheet):
        rows = list(group)
        if not ways_in(rows):
            continue
        name = f"speed-width{width}-threads{threads}"
        with house_style():
            figure = _sheet(record, rows, f"width {width}, {threads_words(threads)}")
            yield f"{name}.png", to_png(figure)
            yield f"{name}.svg", to_svg(figure).encode()


def plot_ratios(
    axes: Axes, rows: Sequence[Row], looks: Mapping[str, Look], limits: tuple[float, float]
) -> None:
    """Each peer's time by ours against the length, both logarithmic, with quartiles as thin lines."""
    dress(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.axhline(1, color=light("ink"), linewidth=1.2, zorder=2)
    lengths = sorted({row.case.length for row in rows})
    for name in ways_in(rows):
        line = {row.case.length: row for row in rows if row.way == name}
        ends = [row.ratio_low for row in line.values()], [row.ratio_high for row in line.values()]
        axes.vlines(list(line), *ends, color=looks[name].color, linewidth=1.1, zorder=3)
        axes.plot(
            lengths,
            # Where a length was left out the line is broken.
            [line[length].ratio if length in line else math.nan for length in lengths],
            color=looks[name].color,
            marker=looks[name].marker,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.6,
            linestyle="--" if name in DASHED else "-",
            zorder=4,
        )
    axes.margins(x=0.05)
    axes.set_ylim(*limits)
    axes.xaxis.set_major_locator(FixedLocator(legible(axes, lengths, str)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: str(round(value))))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in TICKS if limits[0] <= tick <= limits[1]]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("sequence length")
    axes.set_ylabel("peer's time / ours", fontsize=SMALL)


def _sheet(record: Record, rows: Sequence[Row], size: str) -> Figure:
    labels = {way.name: way.label for way in (*peers(), *ours())}
    # Attention keeps the look that it has in a study's report.
    looks = {name: look(0 if name == "attention" else number) for number, name in enumerate(labels, start=1)}
    names = [name for name in labels if name in ways_in(rows)]
    ratios = [
        end for row in rows if row.way != row.ours for end in (row.ratio_low, row.ratio_high, row.ratio)
    ]
    # Shared by the panels, so that they can be laid beside each other; 1 is always in sight.
    limits = 0.85 * min(0.9, *ratios), 1.2 * max(1.2, *ratios)
    panels = [
        Panel(case.words(), partial(plot_ratios, rows=some, looks=looks, limits=limits), "", case.words())
        for case, some in grouped(rows)
        if ways_in(some)
    ]
    mine = " or ".join(dict.fromkeys(row.ours for row in rows))
    note = (
        f"{record.machine['cpu']}, {size}, {record.elements:,} numbers in each tensor, {record.allocator} "
        f"allocator. Above 1, global_conv ({mine}) is faster. Thin lines: quartiles of the ratios within a round."
    )
    return sheet(
        FRAME,
        panels,
        title="The operator beside its peers",
        note=note,
        legend={labels[name]: looks[name] for name in names},
        columns=2,
    )
