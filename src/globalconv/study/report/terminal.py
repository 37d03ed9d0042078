"""The answer in the terminal: what a study prints when it is done."""

from collections.abc import Callable
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from globalconv.display.numbers import (
    MINUS,
    NOTHING,
    count,
    decimals_for,
    duration,
    in_lines,
    plain,
    shortened,
    signed,
)
from globalconv.study.report.wording import VERDICT_SIGNS, VERDICT_TONES, direction, interval, metric_in_words
from globalconv.study.schema import ArmAnswer, StudyAnswer, TaskAnswer

_STYLES = {"good": "green", "mixed": "cyan", "bad": "red", "open": "yellow", "void": "dim"}
_ASCII = str.maketrans({MINUS: "-", NOTHING: "-", "µ": "u", "×": "x", "\N{HORIZONTAL ELLIPSIS}": "~"})


def print_answer(answer: StudyAnswer, console: Console, report_path: Path) -> None:
    """Print each task's sentence and its arms in brief, then where the report lies.

    At 100 columns the arms come with their size and speed; below that, without. A console that cannot
    write a sign gets its nearest ASCII.
    """
    write = _writer(console)
    for task in answer.tasks:
        console.print()
        title = f"{VERDICT_SIGNS[task.verdict]} {task.verdict}"
        console.print(
            Text.assemble(
                (write(task.task), "bold"),
                "  ",
                (write(title), f"bold {_STYLES[VERDICT_TONES[task.verdict]]}"),
            )
        )
        console.print(Text(write(task.sentence)))
        console.print()
        console.print(_arms(task, write, width=console.width))
        if scores := _by_class(task):
            console.print(Text(write(scores)))
    console.print()
    if answer.unfinished:
        console.print(Text.assemble(("Unfinished: ", "bold yellow"), write(answer.unfinished)))
    console.print(Text.assemble(("Report: ", "bold"), write(str(report_path))), soft_wrap=True)


def _writer(console: Console) -> Callable[[str], str]:
    if console.encoding.lower().startswith("utf"):
        return str
    # str.encode would put a question mark for each sign, and a question mark is a verdict's sign.
    signs = str.maketrans({sign: "" for sign in VERDICT_SIGNS.values() if sign != "?"})

    def write(text: str) -> str:
        known = text.translate(_ASCII).translate(signs)
        return known.encode(console.encoding, "replace").decode(console.encoding).strip()

    return write


def _arms(task: TaskAnswer, write: Callable[[str], str], *, width: int) -> Table:
    digits = decimals_for(task.margin)
    table = Table(box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    metric = shortened(task.metric.replace("_", " "), 20)
    table.add_column("arm", overflow="fold", min_width=8)
    table.add_column(Text(write(f"{metric}\n({direction(task)})")), min_width=8)
    table.add_column(Text(write(f"against {in_lines(task.rival, 16)}\n(+ is better)")), min_width=8)
    table.add_column("verdict", no_wrap=True)
    if width >= 100:
        table.add_column("size", justify="right", no_wrap=True)
        table.add_column("a step", justify="right", no_wrap=True)
    for arm in task.arms:
        verdict = write(f"{VERDICT_SIGNS[arm.verdict]} {arm.verdict}")
        cells = [
            Text(write(in_lines(arm.arm, 20)), "bold"),
            Text(write(metric_text(arm, digits))),
            Text(write(difference_text(arm, digits))),
            Text(verdict, _STYLES[VERDICT_TONES[arm.verdict]]),
            Text(write(count(arm.parameters))),
            Text(write(duration(arm.seconds_per_step))),
        ]
        table.add_row(*cells[: len(table.columns)])
    return table


def _by_class(task: TaskAnswer) -> str:
    """The arms' other scores in a classification, a line for each metric; empty for other tasks."""
    others = [name for name in ("accuracy", "balanced_accuracy", "macro_f1") if name != task.metric]
    scored = [arm for arm in task.arms if all(name in arm.extra_metrics for name in others)]
    digits = decimals_for(task.margin)

    def scores(name: str) -> str:
        return ", ".join(f"{arm.arm} {plain(arm.extra_metrics[name].mean, digits)}" for arm in scored)

    return "\n".join(f"{metric_in_words(name)}: {scores(name)}." for name in others if scored)


def metric_text(arm: ArmAnswer, digits: int) -> str:
    """An arm's score on the test split, with its interval."""
    if arm.metric is None:
        return "no run finished"
    return f"{plain(arm.metric.mean, digits)} {interval(arm.metric, digits)}"


def difference_text(arm: ArmAnswer, digits: int) -> str:
    """An arm's paired difference to the rival, with its interval; a dash for the rival itself."""
    if arm.difference is None:
        return NOTHING
    return f"{signed(arm.difference.mean, digits)} {interval(arm.difference, digits, sign=True)}"
