"""The rule by which a study answers. Numbers in, a word and its reason out; no file is read here.

An arm is compared with the rival by the differences between runs of the same seed (same data order),
signed so that positive is better, with a 95 % t interval and the task's equivalence margin m:

    worse        the whole interval lies below -m
    not worse    the whole interval lies above -m
    better       the whole interval lies above 0
    undecided    it straddles -m

and no arm is declared the loser that could not show what it can do: who is worse must have plateaued
with a learning rate inside its grid, and to be better or not worse takes a rival of which the same
holds, or a score that nothing can beat by more than the margin. Otherwise: undecided, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from globalconv.study.answer import ArmVerdict, Estimate, TaskVerdict
from globalconv.study.statistics import estimate, further_seeds


@dataclass(frozen=True)
class Contender:
    """What the rule needs to know of an arm."""

    arm: str
    scores: dict[int, float]
    """Seed -> test metric of the runs that finished."""
    plateaued: bool
    tuned: bool
    """Its learning rate was tuned for this task, and the best does not lie on the grid's edge."""
    attends: bool
    num_diverged: int = 0

    @property
    def excuse(self) -> str | None:
        """Why it may not be declared a loser; None if it may."""
        reasons = []
        if not self.plateaued:
            reasons.append("was still improving when its steps ran out")
        if not self.tuned:
            reasons.append(
                "has a learning rate that is not tuned (untried on this data, or on the grid's edge)"
            )
        return f"{self.arm} " + " and ".join(reasons) if reasons else None


@dataclass(frozen=True)
class ArmJudgement:
    """The verdict on one arm."""

    verdict: ArmVerdict
    because: str
    difference: Estimate | None
    further_seeds: int | None = None


@dataclass(frozen=True)
class Yardstick:
    """How a task's metric is read."""

    higher_is_better: bool
    margin: float
    ceiling: float | None
    floor: float
    """The best score without learning."""

    @property
    def sign(self) -> float:
        """+1 where higher is better."""
        return 1.0 if self.higher_is_better else -1.0


def judge_arm(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    """The verdict on ``arm`` against ``rival``."""
    seeds = sorted(arm.scores.keys() & rival.scores.keys())
    differences = [yardstick.sign * (arm.scores[s] - rival.scores[s]) for s in seeds]
    if len(differences) < 2:
        difference = estimate(differences) if differences else None
        because = f"only {len(differences)} seed(s) finished in both arms, which gives no interval"
        if arm.num_diverged:
            because += f"; {arm.num_diverged} run(s) of {arm.arm} diverged"
        return ArmJudgement("undecided", because, difference, 3 - len(differences))

    difference = estimate(differences)
    assert difference.low is not None
    assert difference.high is not None
    margin = yardstick.margin
    if difference.high < -margin:
        if arm.excuse:
            return ArmJudgement("undecided", f"behind, but {arm.excuse}", difference)
        return ArmJudgement("worse", f"the whole interval lies below -{margin:g}", difference)
    if difference.low <= -margin:
        return ArmJudgement(
            "undecided",
            f"the interval straddles -{margin:g}",
            difference,
            further_seeds(differences, -margin),
        )
    if rival.excuse and not _unbeatable(arm, yardstick):
        return ArmJudgement("undecided", f"level or ahead, but {rival.excuse}", difference)
    if difference.low > 0 and not rival.excuse:
        return ArmJudgement("better", "the whole interval lies above 0", difference)
    because = f"the whole interval lies above -{margin:g}"
    if rival.excuse:
        because += f"; {rival.excuse}, but no score can beat this one by more than the margin"
    return ArmJudgement("not worse", because, difference)


def has_learned(rival: Contender, yardstick: Yardstick) -> bool:
    """Whether the rival is clear of the score that takes no learning, its interval included."""
    above = estimate([yardstick.sign * (score - yardstick.floor) for score in rival.scores.values()])
    return (above.mean if above.low is None else above.low) > 0


def judge_task(
    judgements: Sequence[tuple[Contender, ArmJudgement]], rival: Contender, yardstick: Yardstick
) -> TaskVerdict:
    """Whether convolution replaces the rival on this task.

    "yes" if an arm without attention is better or not worse; else "hybrid" if one with some attention
    is; else "no" if every arm is worse; else "undecided". "nothing learned" if the rival itself is at
    the floor, which makes every comparison empty.
    """
    if not rival.scores:
        return "undecided"
    if not has_learned(rival, yardstick):
        return "nothing learned"
    replaces = [c for c, j in judgements if j.verdict in ("better", "not worse")]
    if any(not contender.attends for contender in replaces):
        return "yes"
    if replaces:
        return "hybrid"
    if judgements and all(j.verdict == "worse" for _, j in judgements):
        return "no"
    return "undecided"


def _unbeatable(arm: Contender, yardstick: Yardstick) -> bool:
    if yardstick.ceiling is None:
        return False
    score = estimate(list(arm.scores.values()))
    worst = score.low if yardstick.higher_is_better else score.high
    return worst is not None and abs(yardstick.ceiling - worst) <= yardstick.margin
