"""The laws of the verdict. Each takes any rule, so that wrong ones can be shown to break them.

A law is a function of a rule and a duel, and raises AssertionError. The interval is computed here anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from scipy import stats

from globalconv.study.answer.statistics import MOST_SEEDS
from globalconv.study.answer.verdict import ArmJudgement, Contender, Yardstick
from globalconv.study.schema import ArmVerdict

Judge = Callable[[Contender, Contender, Yardstick], ArmJudgement]
RANK = {"worse": 0, "undecided": 1, "not worse": 2, "better": 3}


@dataclass(frozen=True)
class Duel:
    arm: Contender
    rival: Contender
    yardstick: Yardstick

    def judged(self, judge: Judge) -> ArmJudgement:
        return judge(self.arm, self.rival, self.yardstick)

    @property
    def common(self) -> list[int]:
        return sorted(self.arm.scores.keys() & self.rival.scores.keys())

    @property
    def differences(self) -> list[float]:
        return [self.yardstick.sign * (self.arm.scores[s] - self.rival.scores[s]) for s in self.common]

    def shifted(self, ahead: float) -> "Duel":
        """The same duel with the rival's scores worse by ``ahead``."""
        scores = {s: score - self.yardstick.sign * ahead for s, score in self.rival.scores.items()}
        return replace(self, rival=replace(self.rival, scores=scores))

    def with_arm_scores(self, differences: list[float]) -> "Duel":
        """Paired runs with these differences and no others."""
        arm = {s: 0.5 + self.yardstick.sign * d for s, d in enumerate(differences)}
        rival = dict.fromkeys(arm, 0.5)
        return replace(self, arm=replace(self.arm, scores=arm), rival=replace(self.rival, scores=rival))


@st.composite
def duels(draw: st.DrawFn) -> Duel:
    """Duels of every outcome: differences all around the margin, seeds that only one of them finished."""
    margin = draw(st.sampled_from([0.0, 0.01, 0.02, 0.3]))
    unit = margin or 0.02
    higher = draw(st.booleans())
    sign = 1.0 if higher else -1.0
    num = draw(st.sampled_from([0, 1, 2, 3, 3, 4, 5, 8]))
    centre = unit * draw(st.floats(-4, 4))
    spread = unit * draw(st.sampled_from([0.0, 0.1, 0.5, 2.0]))
    differences = [centre + spread * draw(st.floats(-1, 1)) for _ in range(num)]
    luck = draw(st.sampled_from([0.2, 0.2 * unit]))
    level = st.floats(0.5 - luck, 0.5 + luck)
    rival = {s: draw(level) for s in range(num)}
    arm = {s: rival[s] + sign * differences[s] for s in range(num)}
    for scores, first in ((arm, 10), (rival, 20)):
        scores |= {first + k: draw(level) for k in range(draw(st.integers(0, 2)))}
    arm = {s: arm[s] for s in draw(st.permutations(sorted(arm)))}
    rival = {s: rival[s] for s in draw(st.permutations(sorted(rival)))}
    best = max((sign * score for score in (*arm.values(), *rival.values())), default=0.0)
    ceiling = draw(st.sampled_from([None, sign * best, sign * (best + unit)]))
    arm_plateaued, arm_tuned, rival_plateaued, rival_tuned = (draw(st.integers(0, 3)) > 0 for _ in range(4))
    return Duel(
        Contender("conv", arm, arm_plateaued, arm_tuned, attends=False, num_diverged=draw(st.integers(0, 2))),
        Contender("rival", rival, rival_plateaued, rival_tuned, attends=True),
        Yardstick(higher, margin, ceiling, baseline=0.1),
    )


def interval(values: list[float]) -> tuple[float, float]:
    half = stats.t.isf(0.025, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def unbeatable(duel: Duel) -> bool:
    sign, ceiling = duel.yardstick.sign, duel.yardstick.ceiling
    worst = min(sign * bound for bound in interval(list(duel.arm.scores.values())))
    return ceiling is not None and sign * ceiling - worst <= duel.yardstick.margin


def specified(duel: Duel, low: float, high: float) -> ArmVerdict:
    """The docstring of globalconv.study.answer.verdict, word by word."""
    margin = duel.yardstick.margin
    arm_showed_it, rival_showed_it = (c.plateaued and c.tuned for c in (duel.arm, duel.rival))
    if high < -margin and arm_showed_it:
        return "worse"
    if low > 0 and low > -margin and rival_showed_it:
        return "better"
    if unbeatable(duel) or (low > -margin and rival_showed_it):
        return "not worse"
    return "undecided"


def away_from_the_edges(duel: Duel) -> None:
    """Rounding may decide where an interval ends exactly on an edge."""
    low, high = interval(duel.differences)
    edges = (-duel.yardstick.margin, 0.0)
    assume(all(abs(bound - edge) > 1e-9 for bound in (low, high) for edge in edges))
    if duel.yardstick.ceiling is not None:
        bounds = interval(list(duel.arm.scores.values()))
        gaps = [abs(duel.yardstick.ceiling - bound) - duel.yardstick.margin for bound in bounds]
        assume(all(abs(gap) > 1e-9 for gap in gaps))


def law_specification(judge: Judge, duel: Duel) -> None:
    assume(len(duel.common) >= 2)
    away_from_the_edges(duel)
    assert duel.judged(judge).verdict == specified(duel, *interval(duel.differences))


def law_fewer_than_two_pairs_decide_nothing(judge: Judge, duel: Duel) -> None:
    assume(len(duel.common) < 2)
    judged = duel.judged(judge)
    assert (judged.verdict, judged.further_seeds) == ("undecided", None)
    assert (judged.difference is None) == (not duel.common)
    assert ("diverged" in judged.because) == (duel.arm.num_diverged > 0)


def law_no_loser_with_an_excuse(judge: Judge, duel: Duel) -> None:
    verdict, yardstick = duel.judged(judge).verdict, duel.yardstick
    if verdict == "worse":
        assert duel.arm.excuse is None
    if verdict == "better":
        assert duel.rival.excuse is None
    if verdict == "not worse" and duel.rival.excuse:
        assert yardstick.ceiling is not None
        gap = yardstick.sign * (yardstick.ceiling - np.mean(list(duel.arm.scores.values())))
        assert gap <= yardstick.margin + 1e-9


def law_who_gains_does_not_fall(judge: Judge, duel: Duel) -> None:
    shifts = [step * (duel.yardstick.margin or 0.02) for step in (0, 0.1, 0.5, 1, 3, 10)]
    ranks = [RANK[duel.shifted(ahead).judged(judge).verdict] for ahead in shifts]
    assert ranks == sorted(ranks)


def law_one_better_run_never_makes_a_loser(judge: Judge, duel: Duel) -> None:
    """A single outlier may widen the interval, but not turn the verdict round."""
    before = duel.judged(judge).verdict
    for seed in duel.common:
        scores = dict(duel.arm.scores)
        scores[seed] += duel.yardstick.sign * 3 * (duel.yardstick.margin or 0.02)
        after = replace(duel, arm=replace(duel.arm, scores=scores)).judged(judge).verdict
        assert (before, after) not in [("not worse", "worse"), ("better", "worse"), ("worse", "better")]


def law_a_wider_margin_is_kinder(judge: Judge, duel: Duel) -> None:
    margins = [duel.yardstick.margin * factor + extra for factor, extra in ((1, 0), (1, 0.005), (2, 0.01))]
    ranks = [
        RANK[replace(duel, yardstick=replace(duel.yardstick, margin=m)).judged(judge).verdict]
        for m in margins
    ]
    assert ranks == sorted(ranks)


def law_direction_is_a_sign(judge: Judge, duel: Duel) -> None:
    """A metric and its negative, read the other way round, give one judgement."""
    yardstick = duel.yardstick
    mirrored = Duel(
        *(replace(c, scores={s: -v for s, v in c.scores.items()}) for c in (duel.arm, duel.rival)),
        Yardstick(
            not yardstick.higher_is_better,
            yardstick.margin,
            None if yardstick.ceiling is None else -yardstick.ceiling,
            -yardstick.baseline,
        ),
    )
    assert mirrored.judged(judge) == duel.judged(judge)


def law_only_pairs_count(judge: Judge, duel: Duel) -> None:
    """Seeds that one arm alone finished, their order, and what a seed gives to both arms do not matter."""
    assume(len(duel.common) >= 2)
    away_from_the_edges(duel)
    duel = replace(duel, yardstick=replace(duel.yardstick, ceiling=None))
    luck = {s: 0.1 * (s % 3) for s in duel.common}
    arm, rival = (
        replace(c, scores={s: c.scores[s] + luck[s] for s in duel.common}) for c in (duel.arm, duel.rival)
    )
    before, after = duel.judged(judge), judge(arm, rival, duel.yardstick)
    assert before.verdict == after.verdict
    assert before.difference is not None
    assert after.difference is not None
    assert before.difference.mean == pytest.approx(after.difference.mean, abs=1e-9)
    assert before.difference.low == pytest.approx(after.difference.low, abs=1e-9)


def law_further_seeds_decide(judge: Judge, duel: Duel) -> None:
    duel = replace(duel, yardstick=replace(duel.yardstick, ceiling=None))
    judged = duel.judged(judge)
    if judged.further_seeds is None:
        return
    assert judged.verdict == "undecided"
    mean, deviation = np.mean(duel.differences), np.std(duel.differences, ddof=1)
    # On the margin itself rounding says who is the likely loser, and whose excuse counts.
    assume(abs(mean + duel.yardstick.margin) > 1e-9)

    def verdict_after(more: int) -> str:
        z = stats.zscore(np.arange(len(duel.differences) + more), ddof=1)
        return duel.with_arm_scores(list(mean + deviation * z)).judged(judge).verdict

    assert judged.further_seeds >= 1
    assert verdict_after(judged.further_seeds) != "undecided"
    assert judged.further_seeds == 1 or verdict_after(judged.further_seeds - 1) == "undecided"


def law_seeds_are_named_where_they_are_missing(judge: Judge, duel: Duel) -> None:
    """An interval that straddles asks for seeds, unless hopelessly many, or the likely loser has an excuse."""
    assume(len(duel.common) >= 2)
    away_from_the_edges(duel)
    low, high = interval(duel.differences)
    judged = duel.judged(judge)
    if not low < -duel.yardstick.margin < high or unbeatable(duel):
        assert judged.further_seeds is None
        return
    behind = np.mean(duel.differences) < -duel.yardstick.margin
    excuse = duel.arm.excuse if behind else duel.rival.excuse
    gap = abs(np.mean(duel.differences) + duel.yardstick.margin)
    hopeless = excuse is None and gap * MOST_SEEDS**0.5 <= 1.972 * np.std(duel.differences, ddof=1)
    assert (judged.further_seeds is None) == (hopeless or excuse is not None)
    assert ("seeds would not tell either" in judged.because) == hopeless
    assert excuse is None or f"besides, {excuse}" in judged.because


def law_because_is_a_sentence_of_its_verdict(judge: Judge, duel: Duel) -> None:
    judged = duel.judged(judge)
    opening, because = judged.because.split(" ")[0].rstrip(":,"), judged.because
    assert because.endswith(".")
    assert (
        opening
        in {
            "worse": {"Behind"},
            "not worse": {"Not", "Nothing"},
            "better": {"Ahead"},
            "undecided": {"Behind", "Not", "Ahead", "The", "No", "Only"},
        }[judged.verdict]
    )
    if judged.verdict == "undecided" and len(duel.common) >= 2 and "The interval" not in because:
        assert any(c.excuse is not None and c.excuse in because for c in (duel.arm, duel.rival))


LAWS = [law for name, law in sorted(globals().items()) if name.startswith("law_")]
