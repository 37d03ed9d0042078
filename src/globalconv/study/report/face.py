"""What all pictures have in common: the face of an axes, and how a metric is called on it."""

import math
from collections.abc import Callable, Sequence
from typing import TypeGuard

from globalconv.drawing import Axes
from globalconv.study.answer import Estimate
from globalconv.study.report.palette import Look, light
from globalconv.study.report.wording import shortened

Looks = dict[str, Look]

SMALL = 9.5
NAME_LIMIT = 14


def finite(value: float | None) -> TypeGuard[float]:
    """Whether there is a number to draw."""
    return value is not None and math.isfinite(value)


def metric_words(metric: str) -> str:
    """A metric as an axis calls it: 'bits per byte'."""
    return shortened(metric.replace("_", " "), 24)


def dress(axes: Axes) -> None:
    """The common face: no box, a light grid behind the data, muted ticks."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(True, color=light("rule"), linewidth=0.7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=light("muted"), pad=4)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=light("muted"), size=SMALL)


def interval_ends(estimate: Estimate) -> tuple[float, float]:
    """The ends of the line to draw; the mean where there is no interval."""
    low = estimate.mean if estimate.low is None or math.isnan(estimate.low) else estimate.low
    high = estimate.mean if estimate.high is None or math.isnan(estimate.high) else estimate.high
    return low, high


def legible(axes: Axes, values: Sequence[float], write: Callable[[float], str]) -> list[float]:
    """Those of the ascending ``values`` whose labels do not touch on a logarithmic axis."""
    start, end = (math.log(limit) for limit in axes.get_xlim())
    inch = (end - start) * axes.figure.dpi / axes.get_window_extent().width
    kept: list[float] = []
    for value in values:
        letters = len(write(value)) + len(write(kept[-1])) if kept else 0
        if not kept or math.log(value / kept[-1]) > inch * (0.04 * letters + 0.09):
            kept.append(value)
    return kept
