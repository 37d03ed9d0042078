"""The answer to one task in one sentence."""

import math

from globalconv.display.numbers import listed, score_text
from globalconv.study.answer.advice import Given
from globalconv.study.design.arms import attends
from globalconv.study.schema import ArmAnswer, TaskVerdict
from globalconv.study.spec import TaskPlan

QUESTION = "Can a global depthwise convolution replace self-attention here, and at what cost?"


def answer_in_words(
    task: TaskPlan, verdict: TaskVerdict, arms: list[ArmAnswer], rival: str, given: Given
) -> str:
    """One sentence: the verdict, the arms that carry it, their scores; what would decide an open question.

    Behind it, where there is need, what to mind: runs that are missing, a baseline that beats the rival.
    """
    against = next(arm for arm in arms if arm.arm == rival)
    others = _best_first([arm for arm in arms if arm.arm != rival], task)
    sentences = [_verdict_in_words(task, verdict, others, against, given)]
    if given.unfinished:
        sentences.append("The study is unfinished: its command goes on with it, and the answer may change.")
    if caveat := _beaten_by_a_baseline(task, verdict, against, others):
        sentences.append(caveat)
    return " ".join(sentences)


def _beaten_by_a_baseline(
    task: TaskPlan, verdict: TaskVerdict, rival: ArmAnswer, others: list[ArmAnswer]
) -> str:
    """A warning where a score without a network beats the rival, or every arm.

    Where nothing was learned the sentence names the score of guessing already, and only better baselines count.
    """
    sign = task.sign
    named = sign * task.trivial_baseline if verdict == "nothing learned" else -math.inf
    baselines = [baseline for baseline in task.baselines if sign * baseline.value > named]
    scored = [arm for arm in (rival, *others) if arm.metric is not None]
    if not baselines or not scored:
        return ""
    best = max(baselines, key=lambda baseline: sign * baseline.value)
    below = [arm for arm in scored if arm.metric and sign * arm.metric.mean < sign * best.value]
    if len(below) == len(scored):
        who = "no arm does" if len(scored) > 1 else f"{scored[0].arm} does not"
    elif rival in below:
        who = f"{rival.arm} does not"
    else:
        return ""
    reached = score_text(best.value, task.margin)
    return f"Mind the baseline: '{best.name}' reaches {reached} without any of this, and {who}."


def _verdict_in_words(
    task: TaskPlan, verdict: TaskVerdict, others: list[ArmAnswer], against: ArmAnswer, given: Given
) -> str:
    if verdict == "nothing learned":
        return _nothing_learned(task, others, against, given)
    if verdict == "yes":
        return _yes(task, [arm for arm in others if not attends(arm.mixers)], against)
    if verdict == "hybrid":
        return _hybrid(task, others, against)
    if verdict == "no":
        return _no(task, others, against)
    return _undecided(task, others, against, given)


def _nothing_learned(task: TaskPlan, others: list[ArmAnswer], rival: ArmAnswer, given: Given) -> str:
    best = (
        f"; the best other arm, {others[0].arm}, reaches {_score(task, others[0])}"
        if others and others[0].metric
        else ""
    )
    return (
        f"Nothing learned: {rival.arm} itself is not clear of guessing ({_metric(task)} {_score(task, rival)}, "
        f"guessing gives {score_text(task.trivial_baseline, task.margin)}{best}), so there is nothing to compare with"
        f"{_what_may_teach(task, rival, given)}."
    )


def _what_may_teach(task: TaskPlan, rival: ArmAnswer, given: Given) -> str:
    if given.unfinished or rival.metric is None:
        return ""
    above = task.sign * (rival.metric.mean - task.trivial_baseline)
    if above > task.margin:  # some of its runs have learned, or all of them a little
        return f"; its {rival.metric.num_seeds} seeds scatter: give it more of them (--seeds), or more steps"
    return f"; give it more steps ({given.more_steps}) or more data"


def _yes(task: TaskPlan, pure: list[ArmAnswer], rival: ArmAnswer) -> str:
    better = [arm for arm in pure if arm.verdict == "better"]
    level = [arm for arm in pure if arm.verdict == "not worse"]
    lead, *same = better or level
    tails = []
    if same:
        tails.append(f"so {_are(same)} {_named(task, same)}")
    if better and level:
        tails.append(f"{_named(task, level)} {_are(level)} not worse")
    tail = f"; {', and '.join(tails)}" if tails else ""
    return f"Yes: {lead.arm} is {lead.verdict} than {rival.arm} ({_scores(task, lead, rival)}){tail}."


def _hybrid(task: TaskPlan, others: list[ArmAnswer], rival: ArmAnswer) -> str:
    lead = next(arm for arm in others if arm.verdict in ("better", "not worse"))
    pure = [arm for arm in others if not attends(arm.mixers)]
    worse = [arm for arm in pure if arm.verdict == "worse"]
    undecided = [arm for arm in pure if arm.verdict == "undecided"]
    tails = [
        f"{_named(task, found)} {_are(found)} {found[0].verdict}" for found in (worse, undecided) if found
    ]
    return (
        f"{'Only' if worse else 'At least'} as a hybrid: {lead.arm}, with some attention left, is {lead.verdict} "
        f"than {rival.arm} ({_scores(task, lead, rival)}); "
        + (f"without attention, {', and '.join(tails)}." if tails else "no arm without attention was run.")
    )


def _no(task: TaskPlan, others: list[ArmAnswer], rival: ArmAnswer) -> str:
    if len(others) == 1:
        return f"No: {others[0].arm} is worse than {rival.arm} ({_scores(task, others[0], rival)})."
    every = "both" if len(others) == 2 else "all"
    return (
        f"No: {_named(task, others)} are {every} worse than {rival.arm} "
        f"({_metric(task)} {_score(task, rival)}, {_reading(task)})."
    )


def _undecided(task: TaskPlan, others: list[ArmAnswer], rival: ArmAnswer, given: Given) -> str:
    if rival.metric is None:
        return f"Undecided: no run of {rival.arm} finished, so there is nothing to compare with."
    open_arms = [arm for arm in others if arm.verdict == "undecided" and arm.metric is not None]
    if not open_arms:
        silent = [arm.arm for arm in others if arm.metric is None]
        worse = [arm for arm in others if arm.verdict == "worse"]
        tail = f"; {_named(task, worse)} {_are(worse)} worse than {rival.arm}" if worse else ""
        score = f"{_metric(task)} of {rival.arm}: {_score(task, rival)}"
        return f"Undecided: no run of {listed(silent)} finished{tail} ({score})."
    arm = next((arm for arm in open_arms if not attends(arm.mixers)), open_arms[0])
    because = arm.because[0].lower() + arm.because[1:].rstrip(".")
    return (
        f"Undecided whether {arm.arm} keeps up with {rival.arm} ({_scores(task, arm, rival)}): {because}"
        f"{_what_may_decide(task, arm, rival, given)}."
    )


def _what_may_decide(task: TaskPlan, arm: ArmAnswer, rival: ArmAnswer, given: Given) -> str:
    if given.unfinished:
        return ""
    if arm.further_seeds is not None and arm.metric is not None:
        total = arm.metric.num_seeds + len(arm.diverged_seeds) + arm.further_seeds
        plural = "s" if arm.further_seeds > 1 else ""
        return f"; about {arm.further_seeds} more seed{plural} would (--seeds {total})"
    if arm.difference is None or arm.difference.low is None:
        return "" if arm.diverged_seeds or rival.diverged_seeds else "; train three (--seeds 3)"
    doubted = arm if arm.difference.mean < -task.margin else rival
    ways = []
    if not doubted.plateaued:
        ways.append(_longer_runs(task, doubted, given))
    if not task.tuned:
        ways.append("tuning (--sweep)")
    return f"; {' and '.join(ways)} may decide it" if ways else ""


def _longer_runs(task: TaskPlan, arm: ArmAnswer, given: Given) -> str:
    if arm.steps_to_plateau is None:
        return f"longer runs ({given.more_steps})"
    factor = arm.steps_to_plateau / arm.steps
    return f"longer runs (at least {factor:.1f} times the steps, such as {given.longer_runs(factor, task)})"


def _best_first(arms: list[ArmAnswer], task: TaskPlan) -> list[ArmAnswer]:
    return sorted(
        arms, key=lambda arm: task.sign * arm.metric.mean if arm.metric else float("-inf"), reverse=True
    )


def _scores(task: TaskPlan, arm: ArmAnswer, rival: ArmAnswer) -> str:
    return f"{_metric(task)} {_score(task, arm)} against {_score(task, rival)}, {_reading(task)}"


def _metric(task: TaskPlan) -> str:
    return task.metric.replace("_", " ")


def _reading(task: TaskPlan) -> str:
    return f"margin {task.margin:g}" if task.higher_is_better else f"lower is better, margin {task.margin:g}"


def _score(task: TaskPlan, arm: ArmAnswer) -> str:
    return "no finished run" if arm.metric is None else score_text(arm.metric.mean, task.margin)


def _named(task: TaskPlan, arms: list[ArmAnswer]) -> str:
    return listed([f"{arm.arm} ({_score(task, arm)})" for arm in arms])


def _are(arms: list[ArmAnswer]) -> str:
    return "is" if len(arms) == 1 else "are"
