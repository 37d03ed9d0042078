"""A quantity against the length, both axes logarithmic: a line for each subject, with the quartiles as a band."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from globalconv.display.axes import SMALL, draw_line, dress, legible, number_ticks
from globalconv.display.drawing import Axes, FixedLocator
from globalconv.display.palette import Look


@dataclass(frozen=True)
class Point:
    """One length: the value, and the quartiles around it. ``least``: the roofline, drawn as dashes."""

    length: int
    value: float
    low: float
    high: float
    least: float | None = None


@dataclass(frozen=True)
class Line:
    """One subject's points, as lengths grow. ``dashed``: it computes something else; ``stopped``: it ends early."""

    label: str
    look: Look
    points: Sequence[Point]
    dashed: bool = False
    stopped: bool = False


def plot_lines(
    axes: Axes,
    lines: Sequence[Line],
    *,
    xlabel: str = "sequence length",
    ylabel: str,
    words: Callable[[float], str],
) -> None:
    """Draw all lines that have points; ``words`` writes a value of the y axis."""
    dress(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    lengths = sorted({point.length for line in lines for point in line.points})
    for line in lines:
        if line.points:
            _plot(axes, line, lengths)
    axes.margins(x=0.06, y=0.09)
    number_ticks(axes.xaxis, lambda length: str(round(length)), FixedLocator(legible(axes, lengths, str)))
    number_ticks(axes.yaxis, words)
    axes.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def _plot(axes: Axes, line: Line, lengths: Sequence[int]) -> None:
    color, last = line.look.color, line.points[-1]
    nothing = Point(0, math.nan, math.nan, math.nan)  # the line is broken where a length was left out
    at = {point.length: point for point in line.points}
    points = [at.get(length, nothing) for length in lengths if length <= last.length]
    where = lengths[: len(points)]
    axes.fill_between(
        where,
        [point.low for point in points],
        [point.high for point in points],
        color=color,
        alpha=0.22,
        linewidth=0,
    )
    values = [point.value for point in points]
    draw_line(axes, where, values, line.look, size=6.5, dashed=line.dashed, label=line.label)
    known = [(point.length, point.least) for point in line.points if point.least]
    if known:
        axes.plot(*zip(*known, strict=True), color=color, linewidth=1.1, linestyle=(0, (3, 2)), zorder=3)
    if line.stopped:
        place = last.length, last.value
        axes.annotate(
            "stopped", place, (0, 9), textcoords="offset points", ha="center", fontsize=SMALL, color=color
        )
