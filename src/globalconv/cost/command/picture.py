"""What was found, as pictures: seconds against length, measured and in theory, both logarithmic."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby

from globalconv.bench.floor import Speeds
from globalconv.bench.table import threads_words
from globalconv.cost.command.record import Record, Row
from globalconv.cost.command.table import PASS_WORDS, names_in
from globalconv.cost.contenders import CONTENDERS
from globalconv.display.axes import SMALL, dress, legible
from globalconv.display.drawing import Axes, Figure, FixedLocator, FuncFormatter, LogLocator, NullLocator
from globalconv.display.numbers import round_duration
from globalconv.display.palette import Look, look
from globalconv.display.panels import Frame, Panel, sheet
from globalconv.display.svg import house_style, to_png, to_svg

FRAME = Frame(4.1, 3.0, left=0.84)


def pictures(record: Record) -> Iterator[tuple[str, bytes]]:
    """File name -> content: for each pass one sheet, as PNG and as SVG, with a panel for each width.

    The same record gives the same bytes.
    """
    for phase, group in groupby(record.results, lambda row: row.phase):
        with house_style():
            figure = _sheet(record, list(group))
            yield f"cost-{phase}.png", to_png(figure)
            yield f"cost-{phase}.svg", to_svg(figure).encode()


def plot_costs(
    axes: Axes,
    rows: Sequence[Row],
    looks: Mapping[str, Look],
    speeds: Speeds | None,
    stopped: Mapping[str, str],
) -> None:
    """Lines with markers: medians, with the middle half as a band. Dashes: what the formulas leave at least."""
    dress(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for name in names_in(rows):
        line = [row for row in rows if row.mixer == name]
        lengths, color = [row.length for row in line], looks[name].color
        axes.fill_between(
            lengths,
            [row.ms_low / 1e3 for row in line],
            [row.ms_high / 1e3 for row in line],
            color=color,
            alpha=0.22,
            linewidth=0,
        )
        axes.plot(
            lengths,
            [row.ms / 1e3 for row in line],
            color=color,
            marker=looks[name].marker,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.6,
            zorder=4,
        )
        least = [at_least(row, speeds) for row in line] if speeds else []
        known = [(length, seconds) for length, seconds in zip(lengths, least, strict=False) if seconds]
        axes.plot(*zip(*known, strict=True), color=color, linewidth=1.1, linestyle=(0, (3, 2)), zorder=3)
        if name in stopped:
            place = (line[-1].length, line[-1].ms / 1e3)
            axes.annotate(
                "stopped", place, (0, 8), textcoords="offset points", ha="center", fontsize=SMALL, color=color
            )
    axes.margins(x=0.06, y=0.09)
    lengths = sorted({row.length for row in rows})
    axes.xaxis.set_major_locator(FixedLocator(legible(axes, lengths, str)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: str(round(value))))
    axes.yaxis.set_major_locator(LogLocator(numticks=10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: round_duration(value)))
    axes.set_xlabel("sequence length" if rows[0].phase != "decode" else "tokens in the cache")
    axes.set_ylabel("one call")


def at_least(row: Row, speeds: Speeds) -> float | None:
    """Seconds: the longer of the formulas' flops and bytes over what the machine was measured to do."""
    if row.flops is None or row.moved_bytes is None:
        return None
    return max(row.flops / speeds.flops_per_second, row.moved_bytes / speeds.bytes_per_second)


def _sheet(record: Record, rows: list[Row]) -> Figure:
    # Attention is the first of them, and has the look that it has in a study's report.
    order = [*CONTENDERS, *(name for name in record.mixers if name not in CONTENDERS)]
    names = sorted(names_in(rows), key=order.index)
    looks = {name: look(order.index(name)) for name in names}
    phase = rows[0].phase
    speeds = record.speeds[0] if record.speeds else None
    panels = []
    for width, some in groupby(rows, lambda row: row.width):
        stopped = {s.mixer: s.why for s in record.stopped if (s.phase, s.width) == (phase, width)}
        plot = partial(plot_costs, rows=list(some), looks=looks, speeds=speeds, stopped=stopped)
        panels.append(Panel(f"width {width}", plot, "", f"width {width}"))
    mode = "causal" if phase == "decode" else record.mode
    note = (
        f"{record.machine['cpu'] if record.device == 'cpu' else record.device}, {threads_words(record.threads)}, "
        f"batch {record.batch}, {mode}. Lines: medians, with the middle half. Dashes: the least that the formulas' "
        "flops and bytes take at the machine's own speeds."
    )
    return sheet(
        FRAME,
        panels,
        title=f"Cost against length: {PASS_WORDS[phase]}",
        note=note,
        legend=looks,
        columns=2,
    )
