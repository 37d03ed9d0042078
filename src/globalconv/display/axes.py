"""The common style of an axes."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from globalconv.display.drawing import Axes, Locator
from globalconv.display.palette import Look, light

SMALL = 9.5


def finite(value: float | None) -> TypeGuard[float]:
    """Whether ``value`` is a finite number."""
    return value is not None and math.isfinite(value)


def dress(axes: Axes) -> None:
    """Apply the common style: no box, a light grid behind the data, muted ticks."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(True, color=light("rule"), linewidth=0.7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=light("muted"), pad=4)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=light("muted"), size=SMALL)


def draw_line(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[float],
    look: Look,
    *,
    size: float = 5,
    dashed: bool = False,
    label: str | None = None,
) -> None:
    """A line in the look's colour, with its marker, ``size`` points wide, at every point."""
    axes.plot(
        x,
        y,
        color=look.color,
        marker=look.marker,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.5,
        linewidth=1.7,
        linestyle="--" if dashed else "-",
        label=label,
        zorder=3,
    )


def number_ticks(axis: Any, write: Callable[[float], str], locator: Locator | None = None) -> None:
    """Label the major ticks of a matplotlib axis, which ``locator`` may place."""
    if locator is not None:
        axis.set_major_locator(locator)
    axis.set_major_formatter(lambda value, _: write(value))


def legible(axes: Axes, values: Sequence[float], write: Callable[[float], str]) -> list[float]:
    """The subset of the ascending ``values`` whose labels do not overlap on a logarithmic axis."""
    start, end = (math.log(limit) for limit in axes.get_xlim())
    inch = (end - start) * axes.figure.dpi / axes.get_window_extent().width
    kept: list[float] = []
    for value in values:
        letters = len(write(value)) + len(write(kept[-1])) if kept else 0
        if not kept or math.log(value / kept[-1]) > inch * (0.04 * letters + 0.09):
            kept.append(value)
    return kept
