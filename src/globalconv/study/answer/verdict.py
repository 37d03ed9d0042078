"""The rule by which a study answers. Numbers in, a word and its reason out; no file is read here.

An arm is compared with the rival by the differences between runs of the same seed (same data order),
signed so that positive is better, with a 95 % interval and the task's equivalence margin m. Two things are left to
chance, and the interval holds both: the seeds (Student's t over the differences) and the test examples (paired
bootstrap: both arms scored on the same examples, drawn again with replacement). Then:

    worse        the whole interval lies below -m
    not worse    the whole interval lies above -m
    better       the whole interval lies above 0
    undecided    it straddles -m

and no arm is declared the loser that could not show what it can do: who is worse must have plateaued
with a learning rate inside its grid, and to be better or not worse takes a rival of which the same
holds. Otherwise: undecided, with the reason. One arm needs no comparison: if its own 95 % interval lies
within the margin of the best score there is (an accuracy of 1), nothing beats it by more than the margin,
however the rival's runs scatter: not worse.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from globalconv.study.answer.statistics import (
    MOST_SEEDS,
    estimate,
    further_seeds,
    joined,
    percentile_interval,
)
from globalconv.study.schema import ArmVerdict, Estimate, TaskVerdict


@dataclass(frozen=True)
class Contender:
    """What the rule needs to know of an arm."""

    arm: str
    scores: dict[int, float]
    """Seed -> test metric of the runs that finished."""
    plateaued: bool
    tuned: bool
    """Its learning rate was tuned for this task to the end, and the best does not lie on the grid's edge."""
    attends: bool
    num_diverged: int = 0
    resampled: Mapping[int, Sequence[float]] = field(default_factory=dict)
    """Seed -> its scores on test splits drawn again from the examples, the same draws in all runs. Empty where
    they were not kept, as before 2026-11: then the seeds are all that is left to chance."""

    @property
    def excuse(self) -> str | None:
        """Why it may not be declared a loser; None if it may."""
        reasons = []
        if not self.plateaued:
            reasons.append("was still improving when its steps ran out")
        if not self.tuned:
            reasons.append(
                "has a learning rate that may not be its best (not tuned on this data, on the edge of what was tried, "
                "or swept in part only)"
            )
        return f"{self.arm} " + " and ".join(reasons) if reasons else None


@dataclass(frozen=True)
class ArmJudgement:
    """The verdict on one arm."""

    verdict: ArmVerdict
    because: str
    """A sentence, which begins with a word of ours and not with the name of an arm."""
    difference: Estimate | None
    """The difference by whose interval the verdict is given."""
    further_seeds: int | None = None
    over_seeds: Estimate | None = None
    over_examples: Estimate | None = None
    """The two parts of that interval; None where one is not known."""


@dataclass(frozen=True)
class Yardstick:
    """How a task's metric is read."""

    higher_is_better: bool
    margin: float
    ceiling: float | None
    baseline: float
    """The best score without learning."""

    @property
    def sign(self) -> float:
        """+1 where higher is better."""
        return 1.0 if self.higher_is_better else -1.0


def judge_arm(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    """The verdict on ``arm`` against ``rival``."""
    assert yardstick.margin >= 0
    seeds = sorted(arm.scores.keys() & rival.scores.keys())
    differences = [yardstick.sign * (arm.scores[s] - rival.scores[s]) for s in seeds]
    if not differences:
        return ArmJudgement("undecided", _too_few(0, arm, rival), None)
    mine, its = _resampled_means(arm, seeds), _resampled_means(rival, seeds)
    resampled = None if mine is None or its is None else yardstick.sign * (mine - its)
    over_seeds, over_examples = _over_both(differences, resampled)
    difference = joined(over_seeds, over_examples)

    def judged(verdict: ArmVerdict, because: str, further: int | None = None) -> ArmJudgement:
        return ArmJudgement(verdict, because, difference, further, over_seeds, over_examples)

    if difference.low is None or difference.high is None:
        return judged("undecided", _too_few(len(differences), arm, rival))
    margin = yardstick.margin
    edge = f"{-margin or 0.0:g}"
    if difference.high < -margin:
        if arm.excuse:
            return judged("undecided", f"Behind by more than the margin, but {arm.excuse}.")
        because = f"Behind by more than the margin: the whole interval of the difference lies below {edge}."
        return judged("worse", because)
    if _unbeatable(arm, yardstick) and (difference.low <= -margin or rival.excuse):
        because = "Nothing could beat it by more than the margin: its own interval reaches that near to the best score"
        return judged("not worse", f"{because}.")
    if difference.low <= -margin:
        because = (
            f"The interval of the difference reaches across the margin at {edge}, so the runs cannot tell"
        )
        # Who would be the loser at this mean may have an excuse: then more seeds decide nothing either.
        excuse = arm.excuse if difference.mean < -margin else rival.excuse
        if excuse:
            return judged("undecided", f"{because}; besides, {excuse}.")
        from_examples = _towards(-margin, over_examples)
        if from_examples >= abs(difference.mean + margin):
            return judged(
                "undecided", f"{because}; the test examples are too few for it, whatever the seeds."
            )
        further = further_seeds(differences, -margin, besides=from_examples)
        if further is None:
            because += f", and {MOST_SEEDS} seeds would not tell either"
        return judged("undecided", f"{because}.", further)
    if rival.excuse:
        place = "Ahead" if difference.low > 0 else "Not behind by more than the margin"
        return judged("undecided", f"{place}, but {rival.excuse}.")
    if difference.low > 0:
        return judged("better", "Ahead: the whole interval of the difference lies above 0.")
    because = f"Not behind by more than the margin: the whole interval of the difference lies above {edge}."
    return judged("not worse", because)


def _over_both(
    values: Sequence[float], resampled: NDArray[np.float64] | None
) -> tuple[Estimate, Estimate | None]:
    """The mean of ``values``, one a seed, with the interval over the seeds, and with that over the test examples."""
    over_seeds = estimate(values)
    if resampled is None:
        return over_seeds, None
    low, high = percentile_interval(resampled)
    return over_seeds, over_seeds.model_copy(update={"low": low, "high": high})


def _resampled_means(contender: Contender, seeds: Iterable[int]) -> NDArray[np.float64] | None:
    """On each resampled test split the mean score over ``seeds``; None where one of them has no such scores."""
    scores = [contender.resampled.get(seed) for seed in seeds]
    return np.mean(np.array(scores, dtype=np.float64), axis=0) if all(scores) else None


def _towards(boundary: float, interval: Estimate | None) -> float:
    """How far an interval reaches from its mean on the side of ``boundary``."""
    if interval is None or interval.low is None or interval.high is None:
        return 0.0
    reach = interval.mean - interval.low if interval.mean > boundary else interval.high - interval.mean
    return max(reach, 0.0)


def has_learned(rival: Contender, yardstick: Yardstick) -> bool:
    """Whether the rival is clear of the score that takes no learning, its interval included."""
    above = estimate([yardstick.sign * (score - yardstick.baseline) for score in rival.scores.values()])
    return (above.mean if above.low is None else above.low) > 0


def judge_task(
    judgements: Sequence[tuple[Contender, ArmJudgement]], rival: Contender, yardstick: Yardstick
) -> TaskVerdict:
    """Whether convolution replaces the rival on this task.

    "yes" if an arm without attention is better or not worse; else "hybrid" if one with some attention
    is; else "no" if every arm is worse; else "undecided". "nothing learned" if the rival itself is at
    the baseline, which makes every comparison empty.
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


def _too_few(num_seeds: int, arm: Contender, rival: Contender) -> str:
    because = f"{'Only one' if num_seeds else 'No'} seed finished in both arms, and an interval takes two"
    lost = [
        f"{c.num_diverged} run{'s' * (c.num_diverged > 1)} of {c.arm}" for c in (arm, rival) if c.num_diverged
    ]
    return f"{because}; {' and '.join(lost)} diverged." if lost else f"{because}."


def _unbeatable(arm: Contender, yardstick: Yardstick) -> bool:
    if yardstick.ceiling is None:
        return False
    score = joined(*_over_both(list(arm.scores.values()), _resampled_means(arm, arm.scores)))
    worst = score.low if yardstick.higher_is_better else score.high
    return worst is not None and yardstick.sign * (yardstick.ceiling - worst) <= yardstick.margin
