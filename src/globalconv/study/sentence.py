"""The answer to one task in one sentence."""

from globalconv.study.answer import ArmAnswer, TaskVerdict
from globalconv.study.arms import attends
from globalconv.study.spec import TaskPlan

QUESTION = "Can a global depthwise convolution replace self-attention here, and at what cost?"


def answer_in_words(task: TaskPlan, verdict: TaskVerdict, arms: list[ArmAnswer], rival: str) -> str:
    """One sentence: the verdict, the arm that carries it, and the two scores."""
    by_name = {arm.arm: arm for arm in arms}
    score = _score(by_name[rival], task)
    others = [arm for arm in arms if arm.arm != rival and arm.metric is not None]
    replacing = [arm for arm in others if arm.verdict in ("better", "not worse")]
    if verdict == "nothing learned":
        return (
            f"Nothing learned: {rival} itself stays at guessing ({score}, floor {task.trivial_floor:.3f}), so "
            "no comparison means anything; give it more steps or more data."
        )
    if verdict == "yes":
        pure = [arm for arm in replacing if not attends(arm.mixers)]
        best = _best(pure, task)
        also = [arm.arm for arm in pure if arm is not best]
        word = "is better than" if best.verdict == "better" else "is not worse than"
        return f"Yes: {best.arm} {word} {rival}, {_score(best, task)} against {score}" + (
            f"; so is {_and(also)}." if len(also) == 1 else f"; so are {_and(also)}." if also else "."
        )
    if verdict == "hybrid":
        best = _best(replacing, task)
        pure = [arm for arm in others if not attends(arm.mixers)]
        worse = [arm for arm in pure if arm.verdict == "worse"]
        alone = _best(worse or pure, task)
        open_arms = [arm.arm for arm in pure if arm.verdict == "undecided"]
        tail = f" ({_and(open_arms)}: undecided)" if open_arms and worse else ""
        word = "No, not alone" if worse else "Not shown alone"
        return (
            f"{word}: {alone.arm} reaches {_score(alone, task)} where {rival} reaches {score}{tail}; a hybrid "
            f"does it: {best.arm} reaches {_score(best, task)}."
        )
    if verdict == "no":
        best = _best(others, task)
        return f"No: the best without it, {best.arm}, reaches {_score(best, task)} where {rival} reaches {score}."
    if not others or by_name[rival].metric is None:
        return "Undecided: not enough runs finished."
    best = _best([arm for arm in others if not attends(arm.mixers)] or others, task)
    return (
        f"Undecided: {best.arm} reaches {_score(best, task)} against {score} of {rival}: {best.because}"
        f"{_what_would_decide(best)}."
    )


def _what_would_decide(arm: ArmAnswer) -> str:
    if arm.verdict != "undecided":
        return ""
    if arm.further_seeds is not None:
        return f"; about {arm.further_seeds} more seeds would decide (--seeds)"
    if "tuned" in arm.because:
        return "; tuning would decide (--sweep)"
    if "improving" in arm.because:
        return "; longer runs would decide (a larger --budget)"
    return ""


def _best(arms: list[ArmAnswer], task: TaskPlan) -> ArmAnswer:
    sign = 1.0 if task.higher_is_better else -1.0
    return max(arms, key=lambda arm: sign * arm.metric.mean if arm.metric else float("-inf"))


def _score(arm: ArmAnswer, task: TaskPlan) -> str:
    if arm.metric is None:
        return "no finished run"
    return f"{task.metric.replace('_', ' ')} {arm.metric.mean:.3f}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
