"""The pictures of a report: side by side in files, and panel by panel for the page.

A file is for a README or a talk. In the page each panel stands on its own, so that panels stand beside
each other on a desk and below each other on a phone, with type of the same size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from textwrap import fill

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from globalconv.study.answer import StudyAnswer, TaskAnswer
from globalconv.study.report.curves import Axis, plot_cost, plot_curves, plot_rates
from globalconv.study.report.face import Looks
from globalconv.study.report.intervals import plot_differences, plot_split
from globalconv.study.report.palette import VERDICT_TONES, Look, light, looks_of
from globalconv.study.report.svg import house_style, inline, to_png, to_svg
from globalconv.study.report.wording import (
    SPLITS,
    VERDICT_SIGNS,
    decimals_for,
    has_split,
    interval,
    plain,
    shortened,
    signed,
    was_swept,
)


@dataclass(frozen=True)
class Frame:
    """The inner size of a panel and the room around it, in inches."""

    width: float
    height: float
    left: float = 0.72
    right: float = 0.14
    bottom: float = 0.56
    top: float = 0.42
    indent: float | None = None
    """Where the panel's title starts; None: above the left end of the axes."""

    @property
    def size(self) -> tuple[float, float]:
        return self.left + self.width + self.right, self.bottom + self.height + self.top


@dataclass(frozen=True)
class Panel:
    """One picture: how it is drawn, and in words what it shows."""

    key: str
    plot: Callable[[Axes], None]
    alt: str
    title: str
    badge: tuple[str, str] = ("", "ink")
    """A word at the right end of the title's line, and the name of its colour."""


@dataclass(frozen=True)
class Group:
    """Panels of one size that belong together: one file, or one row of the page."""

    name: str
    title: str
    frame: Frame
    panels: list[Panel]
    legend: tuple[str, ...] = ()
    """The arms to explain; empty where the panels name them themselves."""


_MARGIN = 0.14
CURVE = Frame(2.95, 2.3)
RATES = replace(CURVE, top=0.16)
COST = Frame(3.5, 2.7, left=0.8, top=0.16)
AXES: tuple[Axis, ...] = ("steps", "seconds", "flops")


def groups_of(task: TaskAnswer, looks: Looks) -> list[Group]:
    """All pictures of one task; a kind that has nothing to show is left out."""
    name = shortened(task.task, 40)
    arms = tuple(arm.arm for arm in task.arms)
    groups = []
    if len(arms) > 1:
        groups.append(Group("difference", "", _rows(len(arms) - 1), [_difference(task, looks)]))
    if any(arm.curve for arm in task.arms):
        panels = [_curve(task, axis, looks) for axis in AXES]
        groups.append(Group("curves", f"{name}: learning curves", CURVE, panels, arms))
    if was_swept(task):
        alt = f"{task.task}: {task.metric} against the learning rate, one line for each arm."
        panels = [Panel("rates", partial(plot_rates, task=task, looks=looks), alt, "")]
        groups.append(Group("rates", f"{name}: learning rates", RATES, panels, arms))
    if has_split(task):
        bars = Frame(2.5, 0.42 * len(arms) + 0.1, left=1.4, indent=_MARGIN)
        panels = [_split(task, split, looks) for split in SPLITS]
        groups.append(Group("recall", f"{name}: recall, and the rest", bars, panels))
    return groups


def cost_groups(answer: StudyAnswer, looks: Looks) -> list[Group]:
    """The cost picture, where cost was measured."""
    cost = answer.cost
    if cost is None or not any(curve.points for curve in cost.curves):
        return []
    alt = f"Seconds of each mixer against the sequence length. {cost.crossover}"
    panel = Panel("cost", partial(plot_cost, cost=cost, looks=looks), alt, "")
    mixers = tuple(curve.mixer for curve in cost.curves)
    return [Group("cost", "Cost against length", COST, [panel], mixers)]


def for_page(groups: Sequence[Group], prefix: str) -> dict[str, list[Markup]]:
    """Group name -> its panels as <svg> elements; ``prefix`` keeps their ids apart from other tasks'."""
    with house_style():
        return {
            group.name: [
                inline(_sheet(group.frame, [panel]), key=f"{prefix}{panel.key}", alt=panel.alt)
                for panel in group.panels
            ]
            for group in groups
        }


def figure_files(answer: StudyAnswer, slugs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """File name -> content of every picture that is kept as a file, each as PNG and as SVG."""
    looks = looks_of(answer)
    with house_style():
        if any(len(task.arms) > 1 for task in answer.tasks):
            yield from _both("summary", _summary(answer, looks))
        for task, slug in zip(answer.tasks, slugs, strict=True):
            for group in groups_of(task, looks):
                yield from _both(f"{slug}-{group.name}", _drawn(group, looks))
        for group in cost_groups(answer, looks):
            yield from _both(group.name, _drawn(group, looks))


def _both(name: str, figure: Figure) -> Iterator[tuple[str, bytes]]:
    yield f"{name}.png", to_png(figure)
    yield f"{name}.svg", to_svg(figure).encode()


def _drawn(group: Group, looks: Looks) -> Figure:
    legend = {shortened(name, 24): looks[name] for name in group.legend}
    return _sheet(group.frame, group.panels, title=group.title, legend=legend)


def _summary(answer: StudyAnswer, looks: Looks) -> Figure:
    """The picture of the answer: every task, every arm, its paired difference to the rival."""
    rows = max(1, *(len(task.arms) - 1 for task in answer.tasks))
    panels = [_difference(task, looks, num_rows=rows) for task in answer.tasks]
    seeds = f"{len(answer.seeds)} seed" + "s" * (len(answer.seeds) != 1)
    note = f"Test split, paired by seed. Line: 95 % interval over {seeds}. Grey band: too small to matter."
    return _sheet(_rows(rows), panels, title=shortened(answer.question, 160), note=note, ruled=True)


def _sheet(
    frame: Frame,
    panels: Sequence[Panel],
    *,
    title: str = "",
    note: str = "",
    legend: dict[str, Look] | None = None,
    ruled: bool = False,
) -> Figure:
    """The panels, at most three beside each other, under a title, a note and a legend; lengths in inches."""
    columns = min(len(panels), 3)
    rows = math.ceil(len(panels) / columns)
    panel_width, panel_height = frame.size
    width = columns * panel_width
    # Type of 14 and 10.5 points: about 7 and 11 letters an inch.
    title, note = (
        fill(words, int(letters * width), break_on_hyphens=False)
        for words, letters in ((title, 7), (note, 11.3))
    )
    in_a_row = max(1, int(width / (0.7 + 0.09 * max(map(len, legend))))) if legend else 1
    title_height = 0.28 * len(title.splitlines()) + 0.1 * bool(title)
    note_height = 0.22 * len(note.splitlines())
    head = title_height + note_height + 0.24 * math.ceil(len(legend or ()) / in_a_row)
    height = rows * panel_height + head + (0.22 if ruled else 0.1) * (head > 0)
    figure = Figure(figsize=(width, height))
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        # Measured from below, where the panels start, so that no head can shift them.
        _place(figure, panel, frame, column * panel_width, (rows - 1 - row) * panel_height, ruled=ruled)
    left, top = _MARGIN / width, height - 0.12
    figure.text(left, top / height, title, va="top", fontsize=14, fontweight="bold", color=light("ink"))
    top -= title_height
    figure.text(left, top / height, note, va="top", fontsize=10.5, color=light("muted"), linespacing=1.4)
    top -= note_height
    if legend:
        figure.legend(
            [Line2D([], [], color=look.color, marker=look.marker, linewidth=1.8) for look in legend.values()],
            list(legend),
            loc="upper left",
            bbox_to_anchor=(0.06 / width, (top + 0.06) / height),
            ncols=in_a_row,
            frameon=False,
            fontsize=10.5,
            labelcolor=light("ink"),
            handletextpad=0.5,
            columnspacing=1.4,
        )
    return figure


def _place(figure: Figure, panel: Panel, frame: Frame, left: float, bottom: float, *, ruled: bool) -> None:
    """Draw one panel with its lower left corner at (left, bottom), in inches."""
    width, height = figure.get_size_inches()
    panel_width, panel_height = frame.size
    place = ((left + frame.left) / width, (bottom + frame.bottom) / height)
    panel.plot(figure.add_axes((*place, frame.width / width, frame.height / height)))
    start = left + (frame.left if frame.indent is None else frame.indent)
    end = left + panel_width - _MARGIN
    line = (bottom + panel_height - 0.13) / height
    word, tone = panel.badge
    figure.text(
        start / width, line, panel.title, va="top", fontsize=12, fontweight="bold", color=light("ink")
    )
    figure.text(
        end / width, line, word, va="top", ha="right", fontsize=11.5, fontweight="bold", color=light(tone)
    )
    if ruled:
        ends = [(left + _MARGIN) / width, end / width]
        level = [(bottom + panel_height) / height] * 2
        figure.add_artist(Line2D(ends, level, color=light("rule"), linewidth=1))


def _rows(num_rows: int) -> Frame:
    return Frame(
        1.75, 0.46 * max(num_rows, 1) + 0.1, left=1.36, right=1.1, bottom=0.62, top=0.66, indent=_MARGIN
    )


def _difference(task: TaskAnswer, looks: Looks, *, num_rows: int | None = None) -> Panel:
    digits = decimals_for(task.margin)
    said = [
        f"{arm.arm} {signed(arm.difference.mean, digits)} {interval(arm.difference, digits, sign=True)}, {arm.verdict}"
        if arm.difference
        else f"{arm.arm}: no result"
        for arm in task.arms
        if arm.arm != task.rival
    ]
    alt = f"{task.task}: {task.verdict}. Difference in {task.metric} to {task.rival}: {'; '.join(said)}."
    plot = partial(plot_differences, task=task, looks=looks, num_rows=num_rows)
    badge = (f"{VERDICT_SIGNS[task.verdict]} {task.verdict}", VERDICT_TONES[task.verdict])
    return Panel("difference", plot, alt, shortened(task.task, 22), badge)


def _curve(task: TaskAnswer, axis: Axis, looks: Looks) -> Panel:
    digits = decimals_for(task.margin)
    ends = [f"{arm.arm} {plain(arm.curve[-1].value.mean, digits)}" for arm in task.arms if arm.curve]
    alt = f"{task.task}: {task.metric} on validation against {axis}. At the end: {', '.join(ends)}."
    title = f"against {'compute' if axis == 'flops' else axis}"
    return Panel(axis, partial(plot_curves, task=task, axis=axis, looks=looks), alt, title)


def _split(task: TaskAnswer, name: str, looks: Looks) -> Panel:
    said = [
        f"{arm.arm} {plain(arm.extra_metrics[name].mean, 2)}"
        for arm in task.arms
        if name in arm.extra_metrics
    ]
    alt = f"{task.task}: bits per byte on {SPLITS[name]}: {', '.join(said)}."
    return Panel(name, partial(plot_split, task=task, name=name, looks=looks), alt, SPLITS[name])
