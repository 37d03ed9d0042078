"""Each kind of picture, drawn on one matplotlib Axes."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from globalconv.study.answer import ArmAnswer, CostAnswer, CurvePoint, Estimate, TaskAnswer
from globalconv.study.report.palette import VERDICT_TONES, Look, light
from globalconv.study.report.wording import (
    VERDICT_SIGNS,
    decimals_for,
    direction,
    plain,
    rate,
    round_duration,
    shortened,
    signed,
    tick,
)

Axis = Literal["steps", "seconds", "flops"]
Looks = dict[str, Look]

SMALL = 9.5
NAME_LIMIT = 14
_FLOP_SCALES = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))


def plot_differences(axes: Axes, task: TaskAnswer, looks: Looks, *, num_rows: int | None = None) -> None:
    """Each arm's difference to the rival with its 95 % interval, and the margin as a band.

    ``num_rows`` leaves room for as many arms, so that panels side by side have rows of one height.
    """
    arms = [arm for arm in task.arms if arm.arm != task.rival]
    _dress(axes)
    axes.grid(False, axis="y")
    low, high = difference_limits(task)
    axes.set_xlim(low, high)
    axes.set_ylim(max(num_rows or len(arms), 1) - 0.45, -0.6)
    axes.axvspan(-task.margin, task.margin, color=light("band"), linewidth=0, zorder=0)
    axes.axvline(0, color=light("arm-0"), linewidth=1.4, zorder=1)
    for row, arm in enumerate(arms):
        _difference_row(axes, row, arm, looks[arm.arm], decimals_for(task.margin))
    axes.set_yticks(range(len(arms)), [shortened(arm.arm, NAME_LIMIT) for arm in arms])
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=light("ink"), pad=6)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value, sign=True)))
    rival = next((arm.metric for arm in task.arms if arm.arm == task.rival), None)
    score = f" ({plain(rival.mean, decimals_for(task.margin))})" if rival else ""
    axes.set_xlabel(f"{_named(task.metric)}, difference to {shortened(task.rival, NAME_LIMIT)}{score}", labelpad=5)
    zero = -low / (high - low)
    for words, shift, side in (("worse \u25c2", -5, "right"), ("\u25b8 better", 5, "left")):
        axes.annotate(
            words,
            (zero, 1),
            (shift, 5),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=side,
            fontsize=SMALL,
            color=light("muted"),
        )


def difference_limits(task: TaskAnswer) -> tuple[float, float]:
    """The ends of the difference axis: every mean and the margin, and of the intervals what stays legible.

    Two seeds can give an interval thirty times as wide as the difference; it is cut at three times the
    largest mean or margin, and drawn with an arrow.
    """
    estimates = [arm.difference for arm in task.arms if arm.difference and finite(arm.difference.mean)]
    reach = 3 * max([task.margin, *(abs(estimate.mean) for estimate in estimates)])
    ends = [-task.margin, task.margin]
    for estimate in estimates:
        ends += [end for end in (estimate.mean, estimate.low, estimate.high) if end is not None and finite(end)]
    low, high = max(min(ends), -reach), min(max(ends), reach)
    if low == high:
        return -1.0, 1.0
    space = 0.09 * (high - low)
    return low - space, high + space


def _difference_row(axes: Axes, row: int, arm: ArmAnswer, look: Look, digits: int) -> None:
    low, high = axes.get_xlim()
    beside = {"transform": axes.get_yaxis_transform(), "va": "center"}
    tone = light(VERDICT_TONES[arm.verdict])
    verdict = f"{VERDICT_SIGNS[arm.verdict]} {arm.verdict}"
    if arm.difference is None or not finite(arm.difference.mean):
        axes.text(1.05, row - 0.17, "no result", fontsize=10.5, color=light("muted"), **beside)
        axes.text(1.05, row + 0.17, verdict, fontsize=SMALL, color=tone, **beside)
        return
    mean = arm.difference.mean
    left, right = _interval_ends(arm.difference)
    room = 0.04 * (high - low)
    for end, edge, arrow in ((left, low + room, "<"), (right, high - room, ">")):
        if end < edge if arrow == "<" else end > edge:
            axes.plot([edge], [row], arrow, color=look.color, markersize=8, zorder=3)
    ends = [max(left, low + room), min(right, high - room)]
    axes.plot(ends, [row, row], color=look.color, linewidth=2.6, zorder=3)
    axes.plot([mean], [row], look.marker, color=look.color, markersize=8.5, markeredgecolor="white", zorder=4)
    axes.text(1.05, row - 0.17, signed(mean, digits), fontsize=10.5, fontweight="bold", color=tone, **beside)
    axes.text(1.05, row + 0.17, verdict, fontsize=SMALL, color=tone, **beside)


def _interval_ends(estimate: Estimate) -> tuple[float, float]:
    low = estimate.mean if estimate.low is None or math.isnan(estimate.low) else estimate.low
    high = estimate.mean if estimate.high is None or math.isnan(estimate.high) else estimate.high
    return low, high


def plot_curves(axes: Axes, task: TaskAnswer, axis: Axis, looks: Looks) -> None:
    """The validation metric as training goes on, with 95 % bands; floors as dashed lines."""
    _dress(axes)
    scale, unit = _flop_scale(task) if axis == "flops" else (1.0, "")
    for arm in task.arms:
        points = [point for point in arm.curve if finite(point.value.mean)]
        if not points:
            continue
        where = [_position(point, axis) / scale for point in points]
        look = looks[arm.arm]
        axes.plot(
            where,
            [point.value.mean for point in points],
            color=look.color,
            marker=look.marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.7,
            label=shortened(arm.arm, 30),
            zorder=3,
        )
        bands = [_interval_ends(point.value) for point in points]
        axes.fill_between(
            where, [b[0] for b in bands], [b[1] for b in bands], color=look.color, alpha=0.16, linewidth=0
        )
    axes.set_ylim(*curve_limits(task))
    axes.set_xlim(left=0)
    _draw_floors(axes, task, axis, scale)
    words = {"steps": "steps", "seconds": "seconds of training", "flops": f"training compute, {unit}"}
    axes.set_xlabel(words[axis])
    axes.set_ylabel(f"{_named(task.metric)} ({direction(task)})")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def curve_limits(task: TaskAnswer) -> tuple[float, float]:
    """The ends of the metric axis: all means after the first tenth of training, and the floors near them.

    The first validations, of networks that know nothing yet, would press all else into a line; and a
    95 % band from few seeds can leave the picture, where the mean may not.
    """
    values = []
    for arm in task.arms:
        last = max((point.step for point in arm.curve), default=0)
        values += [p.value.mean for p in arm.curve if p.step >= 0.1 * last and finite(p.value.mean)]
    floors = [floor.value for floor in task.floors if finite(floor.value)]
    low, high = min(values or floors or [0.0]), max(values or floors or [1.0])
    reach = max(high - low, 2 * task.margin)
    near = [value for value in floors if low - reach <= value <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    space = 0.08 * (high - low) or 0.5
    return low - space, high + space


def _draw_floors(axes: Axes, task: TaskAnswer, axis: Axis, scale: float) -> None:
    """Dashed lines, the best floor named first; a name that would touch another is left to the table."""
    low, high = axes.get_ylim()
    corners: dict[float, tuple[int, int]] = {}
    for floor in sorted(task.floors, key=lambda floor: floor.value, reverse=task.higher_is_better):
        if not low <= floor.value <= high:
            continue
        axes.axhline(floor.value, color=light("muted"), linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
        near = [other for other in corners if abs(floor.value - other) < 0.16 * (high - low)]
        if any(abs(floor.value - other) < 0.08 * (high - low) for other in near):
            continue
        name = shortened(floor.name, 30)
        # Two names between two neighbouring lines would touch: the later one takes the earlier one's level.
        levels = {corners[other][1] for other in near} or {1, -1}
        side, level = _quietest_corner(axes, task, axis, scale, name=name, value=floor.value, levels=levels)
        corners[floor.value] = side, level
        axes.annotate(
            name,
            (side, floor.value),
            (3 - 6 * side, 2.5 if level > 0 else -3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right" if side else "left",
            va="bottom" if level > 0 else "top",
            fontsize=8.5,
            color=light("muted"),
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
            zorder=2.5,
        )


def _quietest_corner(
    axes: Axes, task: TaskAnswer, axis: Axis, scale: float, *, name: str, value: float, levels: set[int]
) -> tuple[int, int]:
    """Where a floor's name hides the least of the curves: left (0) or right (1), above (1) or below (-1)."""
    (low, high), (start, end) = axes.get_ylim(), axes.get_xlim()
    box = axes.get_window_extent()
    points = 72 / axes.get_figure(root=True).dpi
    wide, tall = 5.2 * len(name) / (box.width * points), 13 / (box.height * points)
    across = np.linspace(0, 1, 101)
    crowd = {(side, level): 0 for level in (1, -1) if level in levels for side in (0, 1)}
    for arm in task.arms:
        curve = [point for point in arm.curve if finite(point.value.mean)]
        if not curve:
            continue
        where = [(_position(point, axis) / scale - start) / (end - start) for point in curve]
        above = [(point.value.mean - value) / (high - low) for point in curve]
        heights = np.interp(across, where, above, left=np.nan, right=np.nan)
        for side, level in crowd:
            beside = across > 1 - wide if side else across < wide
            crowd[side, level] += int(np.sum(beside & (heights * level > -0.01) & (heights * level < tall)))
    room = {1: high - value, -1: value - low}
    return min(crowd, key=lambda corner: (room[corner[1]] < tall * (high - low), crowd[corner]))


def _position(point: CurvePoint, axis: Axis) -> float:
    return {"steps": point.step, "seconds": point.seconds, "flops": point.flops}[axis]


def _flop_scale(task: TaskAnswer) -> tuple[float, str]:
    most = max((point.flops for arm in task.arms for point in arm.curve), default=1.0)
    return next((scale for scale in _FLOP_SCALES if most >= scale[0]), _FLOP_SCALES[-1])


def plot_rates(axes: Axes, task: TaskAnswer, looks: Looks) -> None:
    """The best validation metric against the learning rate; a ring marks the rate that was taken."""
    _dress(axes)
    for arm in task.arms:
        look = looks[arm.arm]
        points = [(p.learning_rate, p.value) for p in arm.rates if p.value is not None and finite(p.value)]
        axes.plot(
            [where for where, _ in points],
            [value for _, value in points],
            color=look.color,
            marker=look.marker,
            markersize=6,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.7,
            label=shortened(arm.arm, 30),
            zorder=3,
        )
        taken = [(where, value) for where, value in points if math.isclose(where, arm.learning_rate)]
        for where, value in taken:
            axes.plot([where], [value], "o", markersize=13, fillstyle="none", color=look.color, markeredgewidth=1.4)
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
    axes.xaxis.set_major_locator(FixedLocator(_spread_out(rates)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rate(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.set_xlabel("learning rate (ring: taken; ×: diverged)")
    axes.set_ylabel(f"{_named(task.metric)} ({direction(task)})")


def _spread_out(values: Sequence[float]) -> list[float]:
    """Those of the ascending ``values`` whose labels do not touch on a logarithmic axis."""
    reach = math.log(values[-1] / values[0]) if values else 0.0
    kept: list[float] = []
    for value in values:
        if not kept or math.log(value / kept[-1]) > 0.19 * reach:
            kept.append(value)
    return kept


def plot_split(axes: Axes, task: TaskAnswer, name: str, looks: Looks) -> None:
    """One bar per arm for the extra metric ``name``, in bits, with its 95 % interval; shorter is better."""
    arms = [arm for arm in task.arms if name in arm.extra_metrics]
    _dress(axes)
    axes.grid(False, axis="y")
    estimates = [arm.extra_metrics[name] for arm in arms]
    longest = max([estimate.mean for estimate in estimates if finite(estimate.mean)], default=1.0)
    axes.set_xlim(0, 1.3 * longest or 1.0)
    for row, (arm, estimate) in enumerate(zip(arms, estimates, strict=True)):
        if not finite(estimate.mean):
            continue
        axes.barh(row, estimate.mean, height=0.58, color=looks[arm.arm].color, zorder=2)
        left, right = _interval_ends(estimate)
        axes.plot([max(left, 0), min(right, 1.3 * longest)], [row, row], color=light("ink"), linewidth=1.3, zorder=3)
        axes.annotate(
            plain(estimate.mean, 2),
            (min(max(right, estimate.mean), 1.12 * longest), row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            color=light("ink"),
        )
    axes.set_yticks(range(len(arms)), [shortened(arm.arm, NAME_LIMIT) for arm in arms])
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=light("ink"))
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.set_xlabel("bits per byte (lower is better)")


def plot_cost(axes: Axes, cost: CostAnswer, looks: Looks) -> None:
    """Seconds of one forward and backward pass against the length, both logarithmic."""
    _dress(axes)
    for curve in cost.curves:
        look = looks[curve.mixer]
        lengths = [point.length for point in curve.points]
        axes.fill_between(
            lengths,
            [point.low for point in curve.points],
            [point.high for point in curve.points],
            color=look.color,
            alpha=0.22,
            linewidth=0,
        )
        axes.plot(
            lengths,
            [point.seconds for point in curve.points],
            color=look.color,
            marker=look.marker,
            markersize=6.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            linewidth=1.8,
            label=shortened(curve.mixer, 30),
            zorder=3,
        )
        if curve.stopped and curve.points:
            last = curve.points[-1]
            axes.annotate(
                "stopped",
                (last.length, last.seconds),
                (0, 9),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL,
                color=look.color,
            )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.margins(x=0.06, y=0.09)
    lengths = sorted({point.length for curve in cost.curves for point in curve.points})
    axes.xaxis.set_major_locator(FixedLocator(_spread_out(lengths)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: str(round(value))))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: round_duration(value)))
    axes.set_xlabel("sequence length")
    axes.set_ylabel("forward + backward, one sequence")


def finite(value: float | None) -> bool:
    """Whether there is a number to draw."""
    return value is not None and math.isfinite(value)


def _named(metric: str) -> str:
    return shortened(metric.replace("_", " "), 24)


def _dress(axes: Axes) -> None:
    """The common face: no box, a light grid behind the data, muted ticks."""
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(True, color=light("rule"), linewidth=0.7)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=light("muted"), pad=4)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=light("muted"), size=SMALL)

