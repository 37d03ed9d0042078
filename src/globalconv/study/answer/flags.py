"""Remarks that a reader should see about an arm's runs."""

from statistics import mean

from globalconv.display.numbers import score_text
from globalconv.study.answer.verdict import Contender
from globalconv.study.runs.arm_runs import ArmRuns
from globalconv.study.spec import TaskPlan
from globalconv.training.plateau import is_too_short

UNSTEADY_SCORES = 5.0
"""Runs of one arm at one rate that differ by more margins than this are flagged."""
UNSTEADY_SPEED = 3.0
"""Runs whose steps took more times as long as another's than this are flagged."""


def flags_of(task: TaskPlan, found: ArmRuns, contender: Contender) -> list[str]:
    """Short remarks on an arm: not plateaued, not tuned, unsteady, runs missing, below a baseline."""
    flags = []
    if found.curves and not contender.plateaued:
        steps = [evaluation.step for evaluation in next(iter(found.curves.values()))]
        too_short = "too few steps or evaluations to show a plateau"
        flags.append(too_short if is_too_short(steps) else "still improving when its steps ran out")
    if not task.tuned:
        flags.append("learning rate not tuned on this data")
    elif found.due:
        flags.append("the sweep of its learning rate is unfinished")
    elif not contender.tuned:
        flags.append("best learning rate on the edge of the sweep")
    if found.sweep and not found.due and found.rate is None:
        flags.append("diverged at every learning rate")
    if flag := _unsteady_scores(task, found):
        flags.append(flag)
    if flag := _unsteady_speed(found):
        flags.append(flag)
    if found.missing:
        flags.append(f"{len(found.missing)} seed(s) missing")
    if found.diverged:
        flags.append(f"{len(found.diverged)} run(s) diverged")
    if contender.scores:
        score = mean(contender.scores.values())
        missed = [baseline for baseline in task.baselines if task.sign * (score - baseline.value) < 0]
        flags += [
            f"does not reach the baseline '{baseline.name}' ({score_text(baseline.value, task.margin)})"
            for baseline in missed[:1]
        ]
    return flags


def _unsteady_scores(task: TaskPlan, found: ArmRuns) -> str | None:
    """A rate that trains with one seed and not with another, as a flag. The sweep's own runs count too."""
    scores = [result.validation[task.metric] for result in found.finished.values()]
    if found.sweep and found.rate is not None:
        scores += [score for score in found.sweep.scores[found.rate] if score is not None]
    if not scores or not task.margin or max(scores) - min(scores) <= UNSTEADY_SCORES * task.margin:
        return None
    low, high = (score_text(end, task.margin) for end in (min(scores), max(scores)))
    swept = ", those of its sweep among them" if found.sweep else ""
    return f"unsteady: its runs at this learning rate reached from {low} to {high} on validation{swept}"


def _unsteady_speed(found: ArmRuns) -> str | None:
    seconds = [result.seconds_per_step for result in found.finished.values()]
    if not seconds or max(seconds) <= UNSTEADY_SPEED * min(seconds):
        return None
    return (
        f"its steps took {max(seconds) / min(seconds):.1f} times as long in one run as in another: something else kept "
        "the machine busy, so mind its times"
    )
