"""The pictures of a report: side by side in files, and panel by panel for the page.

A file is for a README or a talk. In the page each panel stands on its own, so that panels stand beside
each other on a desk and below each other on a phone, with type of the same size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from markupsafe import Markup

from globalconv.display.drawing import Figure
from globalconv.display.numbers import decimals_for, in_lines, plain, shortened, signed
from globalconv.display.panels import MARGIN, Frame, Panel, sheet
from globalconv.display.svg import picture_files
from globalconv.study.report.curves import plot_cost, plot_curves, plot_rates
from globalconv.study.report.intervals import plot_differences, plot_split
from globalconv.study.report.looks import Looks, looks_of
from globalconv.study.report.probe_pictures import (
    Sender,
    looked_inside,
    plot_content,
    plot_influence,
    plot_joint_effects,
)
from globalconv.study.report.svg import house_style, inline
from globalconv.study.report.wording import (
    SPLITS,
    VERDICT_SIGNS,
    VERDICT_TONES,
    chances,
    has_split,
    interval,
    was_swept,
)
from globalconv.study.schema import ArmAnswer, Axis, ModelInside, StudyAnswer, TaskAnswer


@dataclass(frozen=True)
class Group:
    """Panels of one size that belong together: one file, or one row of the page."""

    name: str
    title: str
    frame: Frame
    panels: list[Panel]
    legend: tuple[str, ...] = ()
    """The arms to explain; empty where the panels name them themselves."""


CURVE = Frame(2.95, 2.3)
RATES = replace(CURVE, top=0.16)
INFLUENCE = replace(CURVE, height=2.4)
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
        bars = Frame(2.5, 0.42 * len(arms) + 0.1, left=1.4, indent=MARGIN)
        panels = [_split(task, split, looks) for split in SPLITS]
        groups.append(Group("recall", f"{name}: recall, and the rest", bars, panels))
    if inside := looked_inside(task):
        shown = tuple(arm.arm for arm, _ in inside)
        panels = [_joint_effects(task, looks), _content(task, looks)]
        groups.append(Group("inside", f"{name}: inside the trained models", CURVE, panels, shown))
        groups += _influences(name, inside, looks)
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
                inline(sheet(group.frame, [panel]), key=f"{prefix}{panel.key}", alt=panel.alt)
                for panel in group.panels
            ]
            for group in groups
        }


def figure_files(answer: StudyAnswer, slugs: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """File name -> content of every picture that is kept as a file, each as PNG and as SVG."""
    looks = looks_of(answer)
    with house_style():
        if any(len(task.arms) > 1 for task in answer.tasks):
            yield from picture_files("summary", _summary(answer, looks))
        for task, slug in zip(answer.tasks, slugs, strict=True):
            for group in groups_of(task, looks):
                yield from picture_files(f"{slug}-{group.name}", _drawn(group, looks))
        for group in cost_groups(answer, looks):
            yield from picture_files(group.name, _drawn(group, looks))


def _drawn(group: Group, looks: Looks) -> Figure:
    legend = {in_lines(name, 40): looks[name] for name in group.legend}
    return sheet(group.frame, group.panels, title=group.title, legend=legend)


def _summary(answer: StudyAnswer, looks: Looks) -> Figure:
    """The picture of the answer: every task, every arm, its paired difference to the rival."""
    rows = max(1, *(len(task.arms) - 1 for task in answer.tasks))
    panels = [_difference(task, looks, num_rows=rows) for task in answer.tasks]
    over = chances(answer)
    note = f"Test split, paired by seed. Line: 95 % interval over {over}. Grey band: too small to matter."
    return sheet(_rows(rows), panels, title=shortened(answer.question, 160), note=note, ruled=True)


def _rows(num_rows: int) -> Frame:
    return Frame(
        1.75, 0.46 * max(num_rows, 1) + 0.1, left=1.36, right=1.1, bottom=0.62, top=0.66, indent=MARGIN
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


def _joint_effects(task: TaskAnswer, looks: Looks) -> Panel:
    said = [
        f"{arm.arm} {inside.joint_effects[1]:.2g}" for arm, inside in looked_inside(task) if inside.length > 1
    ]
    alt = f"{task.task}: joint effect of 2 tokens over that of one: {', '.join(said)}; and of more tokens."
    return Panel("joint", partial(plot_joint_effects, task=task, looks=looks), alt, "joint effects")


def _content(task: TaskAnswer, looks: Looks) -> Panel:
    said = [
        f"{arm.arm} {', '.join(f'{block.content_dependence:.2f}' for block in inside.blocks)}"
        for arm, inside in looked_inside(task)
    ]
    alt = f"{task.task}: content dependence of the mixers, block by block: {'; '.join(said)}."
    return Panel("content", partial(plot_content, task=task, looks=looks), alt, "dependence on content")


def _influences(name: str, inside: Sequence[tuple[ArmAnswer, ModelInside]], looks: Looks) -> list[Group]:
    """Who moves whom; of encoder-decoders what the source does, and what the target so far does."""

    def group(key: str, title: str, of: Sender, alt: str) -> Group:
        panels = [
            Panel(
                f"{key}-{number}",
                partial(plot_influence, inside=found, look=looks[arm.arm], of=of),
                alt.format(arm=arm.arm, tokens=found.source_length or found.length),
                in_lines(arm.arm, 22),
            )
            for number, (arm, found) in enumerate(inside)
        ]
        return Group(key, f"{name}: {title}", INFLUENCE, panels)

    if inside[0][1].source_length is None:
        alt = "How strongly each output of {arm} depends on each of {tokens} input tokens of an example."
        return [group("influence", "who moves whom, on one example", "input", alt)]
    aligned = (
        "How strongly each target token of {arm} depends on each of {tokens} source tokens of an example."
    )
    written = "How strongly each target token of {arm} depends on those before it, on an example."
    return [
        group("influence", "what each target token reads in the source", "source", aligned),
        group("influence-written", "and in the target before it", "target", written),
    ]
