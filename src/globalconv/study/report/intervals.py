"""Bars and intervals: each arm against the rival, and the two halves of a text metric."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from globalconv.display.axes import SMALL, dress, finite, number_ticks
from globalconv.display.drawing import Axes, MaxNLocator
from globalconv.display.numbers import decimals_for, in_lines, plain, shortened, signed, tick
from globalconv.display.palette import Look, light
from globalconv.study.report.looks import NAME_LIMIT, Looks, interval_ends, metric_label
from globalconv.study.report.wording import VERDICT_SIGNS, VERDICT_TONES
from globalconv.study.schema import ArmAnswer, TaskAnswer

EASY_NAME = 14
"""Letters of a name beside its row in the usual size."""


def plot_differences(axes: Axes, task: TaskAnswer, looks: Looks, *, num_rows: int | None = None) -> None:
    """Each arm's difference to the rival with its 95 % interval, and the margin as a band.

    ``num_rows`` leaves room for as many arms, so that panels side by side have rows of one height.
    """
    arms = [arm for arm in task.arms if arm.arm != task.rival]
    dress(axes)
    axes.grid(False, axis="y")
    low, high = difference_limits(task)
    axes.set_xlim(low, high)
    axes.set_ylim(max(num_rows or len(arms), 1) - 0.45, -0.6)
    axes.axvspan(-task.margin, task.margin, color=light("band"), linewidth=0, zorder=0)
    axes.axvline(0, color=light("arm-0"), linewidth=1.4, zorder=1)
    for row, arm in enumerate(arms):
        _difference_row(axes, row, arm, looks[arm.arm], decimals_for(task.margin))
    _name_rows(axes, arms, pad=6)
    locator = MaxNLocator(3, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    number_ticks(axes.xaxis, partial(tick, sign=True), locator)
    rival = next((arm.metric for arm in task.arms if arm.arm == task.rival), None)
    score = f" ({plain(rival.mean, decimals_for(task.margin))})" if rival else ""
    axes.set_xlabel(
        f"{metric_label(task.metric)}, difference to {shortened(task.rival, NAME_LIMIT)}{score}", labelpad=5
    )
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

    Two seeds can give an interval thirty times as wide as the difference; it is cut at five times the
    largest mean or margin, and drawn with an arrow.
    """
    estimates = [arm.difference for arm in task.arms if arm.difference and finite(arm.difference.mean)]
    reach = 5 * max([task.margin, *(abs(estimate.mean) for estimate in estimates)])
    ends = [-task.margin, task.margin]
    for estimate in estimates:
        ends += [
            end for end in (estimate.mean, estimate.low, estimate.high) if end is not None and finite(end)
        ]
    low, high = max(min(ends), -reach), min(max(ends), reach)
    if low == high:
        return -1.0, 1.0
    space = 0.09 * (high - low)
    return low - space, high + space


def _difference_row(axes: Axes, row: int, arm: ArmAnswer, look: Look, digits: int) -> None:
    low, high = axes.get_xlim()
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    tone = light(VERDICT_TONES[arm.verdict])
    verdict = f"{VERDICT_SIGNS[arm.verdict]} {arm.verdict}"
    if arm.difference is None or not finite(arm.difference.mean):
        axes.text(1.05, row - 0.17, "no result", fontsize=10.5, color=light("muted"), **beside)
        axes.text(1.05, row + 0.17, verdict, fontsize=SMALL, color=tone, **beside)
        return
    mean = arm.difference.mean
    left, right = interval_ends(arm.difference)
    room = 0.04 * (high - low)
    for end, edge, arrow in ((left, low + room, "<"), (right, high - room, ">")):
        if end < edge if arrow == "<" else end > edge:
            axes.plot([edge], [row], arrow, color=look.color, markersize=8, zorder=3)
    ends = [max(left, low + room), min(right, high - room)]
    axes.plot(ends, [row, row], color=look.color, linewidth=2.6, zorder=3)
    axes.plot([mean], [row], look.marker, color=look.color, markersize=8.5, markeredgecolor="white", zorder=4)
    axes.text(1.05, row - 0.17, signed(mean, digits), fontsize=10.5, fontweight="bold", color=tone, **beside)
    axes.text(1.05, row + 0.17, verdict, fontsize=SMALL, color=tone, **beside)


def plot_split(axes: Axes, task: TaskAnswer, name: str, looks: Looks) -> None:
    """One bar per arm for the extra metric ``name``, in bits, with its 95 % interval; shorter is better."""
    arms = [arm for arm in task.arms if name in arm.extra_metrics]
    dress(axes)
    axes.grid(False, axis="y")
    estimates = [arm.extra_metrics[name] for arm in arms]
    longest = max([estimate.mean for estimate in estimates if finite(estimate.mean)], default=1.0)
    axes.set_xlim(0, 1.3 * longest or 1.0)
    for row, (arm, estimate) in enumerate(zip(arms, estimates, strict=True)):
        if not finite(estimate.mean):
            continue
        axes.barh(row, estimate.mean, height=0.58, color=looks[arm.arm].color, zorder=2)
        left, right = interval_ends(estimate)
        axes.plot(
            [max(left, 0), min(right, 1.3 * longest)], [row, row], color=light("ink"), linewidth=1.3, zorder=3
        )
        axes.annotate(
            plain(estimate.mean, 2),
            (min(max(right, estimate.mean), 1.12 * longest), row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            color=light("ink"),
        )
    _name_rows(axes, arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    number_ticks(axes.xaxis, tick, MaxNLocator(5))
    axes.set_xlabel("bits per byte (lower is better)")


def _name_rows(axes: Axes, arms: Sequence[ArmAnswer], *, pad: float = 3.5) -> None:
    """Write each arm's name beside its row; in smaller letters where it is long or takes many lines."""
    names = [in_lines(arm.arm, NAME_LIMIT) for arm in arms]
    axes.set_yticks(range(len(arms)), names)
    axes.tick_params(axis="y", labelsize=10.5, labelcolor=light("ink"), pad=pad)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        longest = max(map(len, name.split("\n")))
        if name.count("\n") > 1:
            label.set_fontsize(7.5)
        elif longest > EASY_NAME:
            label.set_fontsize(10.5 * EASY_NAME / longest)
