"""Lines along an axis: learning curves, learning rates, and cost against length."""

import math
from collections import Counter
from typing import Any

import numpy as np

from globalconv.display.axes import draw_line, dress, finite, legible, number_ticks
from globalconv.display.drawing import Axes, Bbox, FixedLocator, MaxNLocator
from globalconv.display.numbers import in_lines, rate, round_duration, shortened, tick
from globalconv.display.palette import light
from globalconv.measure.plot import Line, Point, plot_lines
from globalconv.study.report.looks import Looks, interval_ends, metric_label
from globalconv.study.report.wording import direction
from globalconv.study.schema import Axis, CostAnswer, TaskAnswer

_FLOP_SCALES = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))


def plot_curves(axes: Axes, task: TaskAnswer, axis: Axis, looks: Looks) -> None:
    """The validation metric as training goes on, with 95 % bands; baselines as dashed lines."""
    dress(axes)
    scale, unit = 1.0, ""
    if axis == "flops":
        most = max((point.flops for arm in task.arms for point in arm.curve), default=1.0)
        scale, unit = next((scale for scale in _FLOP_SCALES if most >= scale[0]), _FLOP_SCALES[-1])
    for arm in task.arms:
        points = [point for point in arm.curve if finite(point.value.mean)]
        if not points:
            continue
        where = [point.along(axis) / scale for point in points]
        look = looks[arm.arm]
        means = [point.value.mean for point in points]
        draw_line(axes, where, means, look, label=in_lines(arm.arm, 30))
        bands = [interval_ends(point.value) for point in points]
        axes.fill_between(
            where, [b[0] for b in bands], [b[1] for b in bands], color=look.color, alpha=0.16, linewidth=0
        )
    axes.set_ylim(*curve_limits(task))
    axes.set_xlim(left=0)
    _draw_baselines(axes, task)
    words = {"steps": "steps", "seconds": "seconds of training", "flops": f"training compute, {unit}"}
    axes.set_xlabel(words[axis])
    axes.set_ylabel(f"{metric_label(task.metric)} ({direction(task)})")
    number_ticks(axes.xaxis, tick, MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    number_ticks(axes.yaxis, tick)


def curve_limits(task: TaskAnswer) -> tuple[float, float]:
    """The ends of the metric axis: all means after the first tenth of training, and the baselines near them.

    The first validations, of networks that know nothing yet, would press all else into a line; and a
    95 % band from few seeds can leave the picture, where the mean may not.
    """
    values = []
    for arm in task.arms:
        last = max((point.step for point in arm.curve), default=0)
        values += [p.value.mean for p in arm.curve if p.step >= 0.1 * last and finite(p.value.mean)]
    baselines = [baseline.value for baseline in task.baselines if finite(baseline.value)]
    low, high = min(values or baselines or [0.0]), max(values or baselines or [1.0])
    reach = max((high - low) / 2, 2 * task.margin)
    near = [value for value in baselines if low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    # Room for the name of a baseline beyond the last line.
    space = 0.11 * (high - low) or 0.5
    return low - space, high + space


def _draw_baselines(axes: Axes, task: TaskAnswer) -> None:
    """Dashed lines, each named where the name hides least, the best one first; without room, the table names it."""
    low, high = axes.get_ylim()
    shown = [baseline for baseline in task.baselines if low <= baseline.value <= high]
    for baseline in shown:
        axes.axhline(baseline.value, color=light("muted"), linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    paths = [line.get_path().transformed(line.get_transform() - axes.transAxes) for line in axes.lines]
    drawn = np.concatenate([np.empty((0, 2)), *(path.interpolated(32).vertices for path in paths)])
    extent, point = axes.get_window_extent(), axes.figure.dpi / 72
    width, height = extent.width / point, extent.height / point  # in points, as type is
    taken: list[Bbox] = []
    for baseline in sorted(shown, key=lambda shown: shown.value, reverse=task.higher_is_better):
        name = shortened(baseline.name, 30)
        wide, tall, level = 5.2 * len(name) / width, 13 / height, (baseline.value - low) / (high - low)
        corners = {
            (side, up): Bbox.from_bounds(
                side * (1 - wide), level + (0.01 if up else -0.01 - tall), wide, tall
            )
            for up in (True, False)
            for side in (0, 1)
        }
        hidden = {
            corner: box.count_contains(drawn)
            for corner, box in corners.items()
            if box.y0 >= 0 and box.y1 <= 1 and not any(map(box.overlaps, taken))
        }
        if not hidden:
            continue
        side, up = min(hidden, key=hidden.__getitem__)
        taken.append(corners[side, up])
        axes.annotate(
            name,
            (side, baseline.value),
            (3 - 6 * side, 2.5 if up else -3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right" if side else "left",
            va="bottom" if up else "top",
            fontsize=8.5,
            color=light("muted"),
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
            zorder=2.5,
        )


def plot_rates(axes: Axes, task: TaskAnswer, looks: Looks) -> None:
    """The best validation metric against the learning rate; a ring marks the rate that was taken."""
    dress(axes)
    for arm in task.arms:
        look = looks[arm.arm]
        points = [(p.learning_rate, p.value) for p in arm.rates if p.value is not None and finite(p.value)]
        where, values = [at for at, _ in points], [value for _, value in points]
        draw_line(axes, where, values, look, size=6, label=in_lines(arm.arm, 30))
        ring: dict[str, Any] = {"markersize": 13, "fillstyle": "none", "markeredgewidth": 1.4}
        for at, value in points:
            if math.isclose(at, arm.learning_rate):
                axes.plot([at], [value], "o", color=look.color, **ring)
    # At the worse edge, in axes coordinates: a diverged run has no value, and is worse than any.
    edge = 0.03 if task.higher_is_better else 0.97
    inward = 0.06 if task.higher_is_better else -0.06
    crowd: Counter[float] = Counter()
    for arm in task.arms:
        for point in arm.rates:
            if point.value is None or not finite(point.value):
                height = edge + inward * crowd[point.learning_rate]
                crowd[point.learning_rate] += 1
                axes.plot(
                    [point.learning_rate],
                    [height],
                    "x",
                    transform=axes.get_xaxis_transform(),
                    color=looks[arm.arm].color,
                    markersize=8,
                    markeredgewidth=2,
                )
    axes.margins(y=0.12)
    axes.set_xscale("log")
    rates = sorted({point.learning_rate for arm in task.arms for point in arm.rates})
    number_ticks(axes.xaxis, rate, FixedLocator(legible(axes, rates, rate)))
    number_ticks(axes.yaxis, tick)
    axes.minorticks_off()
    axes.set_xlabel("learning rate (ring: taken; ×: diverged)")
    axes.set_ylabel(f"{metric_label(task.metric)} ({direction(task)})")


def plot_cost(axes: Axes, cost: CostAnswer, looks: Looks) -> None:
    """Seconds of one forward and backward pass against the length, both logarithmic."""
    lines = [
        Line(
            in_lines(curve.mixer, 30),
            looks[curve.mixer],
            [Point(point.length, point.seconds, point.low, point.high) for point in curve.points],
            stopped=curve.stopped is not None,
        )
        for curve in cost.curves
    ]
    plot_lines(axes, lines, ylabel="forward + backward, one sequence", words=round_duration)
