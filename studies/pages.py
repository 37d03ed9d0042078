"""What the README and docs/answer.md say of the recorded studies, from their report.json."""

from collections.abc import Iterator
from pathlib import Path

from globalconv.display.numbers import decimals_for, format_duration, plain, rate, signed
from globalconv.study.report.wording import depth, interval
from globalconv.study.schema import ArmAnswer, StudyAnswer, TaskAnswer

HERE = Path(__file__).parent
ROOT = HERE.parent
README = ROOT / "README.md"
ANSWER = ROOT / "docs" / "answer.md"
END = "<!-- end -->"
HEADER = "| | {metric} | against {rival} | verdict | parameters | rate |\n|---|---|---|---|---|---|\n"


def begin(study: str) -> str:
    """The line of a page behind which a study's block stands, up to END."""
    return f"<!-- studies/{study}: written by studies/record.py -->\n"


def written_into(page: str, study: str, block: str) -> str:
    """``page`` with the ``study``'s block in its place. A page without a place for it is returned as it is."""
    before, found, rest = page.partition(begin(study))
    return before + found + block + END + rest.split(END, 1)[1] if found else page


def read(study: str) -> StudyAnswer:
    """The recorded answer."""
    return StudyAnswer.model_validate_json((HERE / study / "report.json").read_text())


def sentences(study: str) -> str:
    """The README's lines: each task's sentence, and the summary picture."""
    told = "".join(f"- **{task.task}.** {task.sentence}\n" for task in read(study).tasks)
    return f"\n{told}\n![Each arm's difference to attention](studies/{study}/figures/summary.png)\n\n"


def tables(study: str) -> str:
    """The answer page's lines: command, then each task's sentence, sizes and arms, and the summary picture."""
    return "\n".join(_told(study)) + "\n"


def _told(study: str) -> Iterator[str]:
    answer = read(study)
    where = ", ".join(
        answer.environment[fact] for fact in ("processor", "device") if fact in answer.environment
    )
    yield (
        f"`{answer.command}`; {answer.num_runs} runs, {format_duration(answer.training_seconds)} of training on one "
        f"core; {where}, {answer.started[:10]}. [The whole report](../studies/{study}/report.html).\n"
    )
    for task in answer.tasks:
        yield f"**{task.task}: {task.verdict}.** {task.sentence}\n"
        yield f"{task.description} {_sizes(task)}\n"
        yield (
            HEADER.format(metric=task.metric.replace("_", " "), rival=task.rival)
            + "\n".join(_rows(task))
            + "\n"
        )
    yield f"![Each arm's difference to its rival](../studies/{study}/figures/summary.png)\n"


def _sizes(task: TaskAnswer) -> str:
    rival = next(arm for arm in task.arms if arm.arm == task.rival)
    seeds = rival.metric.num_seeds if rival.metric else 0
    return (
        f"Width {task.width}, {depth(task)}, "
        f"{rival.steps} steps, {seeds} seeds, matched on {task.matched_on}."
    )


def _rows(task: TaskAnswer) -> Iterator[str]:
    digits = decimals_for(task.margin)
    for arm in task.arms:
        yield f"| `{arm.arm}` | {_score(arm, digits)} | {_difference(arm, digits)} | {_word(arm)} | " + (
            f"{arm.parameters:,} | {rate(arm.learning_rate)} |"
        )
    for baseline in task.baselines:
        yield f"| {baseline.name} | {plain(baseline.value, digits)} | | baseline | | |"


def _score(arm: ArmAnswer, digits: int) -> str:
    return (
        f"{plain(arm.metric.mean, digits)} {interval(arm.metric, digits)}"
        if arm.metric
        else "no run finished"
    )


def _difference(arm: ArmAnswer, digits: int) -> str:
    if arm.difference is None:
        return ""
    told = f"{signed(arm.difference.mean, digits)} {interval(arm.difference, digits, sign=True)}"
    if arm.over_examples:
        told += f"; examples alone {interval(arm.over_examples, digits, sign=True)}"
    return told


def _word(arm: ArmAnswer) -> str:
    """The verdict; of an open one, why."""
    return (
        f"{arm.verdict}: {arm.because[0].lower()}{arm.because[1:]}"
        if arm.verdict == "undecided"
        else arm.verdict
    )
