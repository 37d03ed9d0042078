"""The rule by which a study answers: its docstring as an oracle, its laws, and wrong rules that break them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from globalconv.study.answer import ArmVerdict
from globalconv.study.statistics import MOST_SEEDS
from globalconv.study.verdict import ArmJudgement, Contender, Yardstick, has_learned, judge_arm, judge_task

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
    level = st.floats(0.3, 0.7)
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
        Yardstick(higher, margin, ceiling, floor=0.1),
    )


def interval(values: list[float]) -> tuple[float, float]:
    half = stats.t.isf(0.025, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values) - half), float(np.mean(values) + half)


def specified(duel: Duel, low: float, high: float) -> ArmVerdict:
    """The docstring of globalconv.study.verdict, word by word."""
    margin, sign, ceiling = duel.yardstick.margin, duel.yardstick.sign, duel.yardstick.ceiling
    arm_showed_it, rival_showed_it = (c.plateaued and c.tuned for c in (duel.arm, duel.rival))
    worst = min(sign * bound for bound in interval(list(duel.arm.scores.values())))
    unbeatable = ceiling is not None and sign * ceiling - worst <= margin
    if high < -margin and arm_showed_it:
        return "worse"
    if low > 0 and low > -margin and rival_showed_it:
        return "better"
    if low > -margin and (rival_showed_it or unbeatable):
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
            -yardstick.floor,
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

    def verdict_after(more: int) -> str:
        z = stats.zscore(np.arange(len(duel.differences) + more), ddof=1)
        return duel.with_arm_scores(list(mean + deviation * z)).judged(judge).verdict

    assert judged.further_seeds >= 1
    assert verdict_after(judged.further_seeds) != "undecided"
    assert judged.further_seeds == 1 or verdict_after(judged.further_seeds - 1) == "undecided"


def law_seeds_are_named_where_they_are_missing(judge: Judge, duel: Duel) -> None:
    """An interval that straddles, between arms without excuses, asks for seeds unless hopelessly many."""
    assume(len(duel.common) >= 2 and not duel.arm.excuse and not duel.rival.excuse)
    judged = duel.judged(judge)
    if judged.verdict == "undecided":
        gap = abs(np.mean(duel.differences) + duel.yardstick.margin)
        hopeless = gap * MOST_SEEDS**0.5 <= 1.98 * np.std(duel.differences, ddof=1)
        assert (judged.further_seeds is None) == hopeless
        assert ("seeds would not tell either" in judged.because) == hopeless


def law_because_is_a_sentence_of_its_verdict(judge: Judge, duel: Duel) -> None:
    judged = duel.judged(judge)
    opening, because = judged.because.split(" ")[0].rstrip(":,"), judged.because
    assert because.endswith(".")
    assert (
        opening
        in {
            "worse": {"Behind"},
            "not worse": {"Not"},
            "better": {"Ahead"},
            "undecided": {"Behind", "Not", "Ahead", "The", "No", "Only"},
        }[judged.verdict]
    )
    if judged.verdict == "undecided" and len(duel.common) >= 2 and "The interval" not in because:
        assert any(c.excuse is not None and c.excuse in because for c in (duel.arm, duel.rival))


LAWS = [law for name, law in sorted(globals().items()) if name.startswith("law_")]


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.filter_too_much])
@given(duel=duels())
def test_law(law, duel):
    law(judge_arm, duel)


def changed(**changes: Callable[[Contender, Contender, Yardstick], object]) -> Judge:
    """The rule on arguments that were tampered with."""

    def judge(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
        given = {"arm": arm, "rival": rival, "yardstick": yardstick}
        return judge_arm(**given | {name: change(**given) for name, change in changes.items()})

    return judge


def from_interval(bounds: Callable[[Duel], tuple[float, float]]) -> Judge:
    """The specified rule on another interval."""

    def judge(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
        duel = Duel(arm, rival, yardstick)
        right = judge_arm(arm, rival, yardstick)
        if len(duel.common) < 2:
            return right
        return replace(right, verdict=specified(duel, *bounds(duel)))

    return judge


def unpaired(duel: Duel) -> tuple[float, float]:
    sign = duel.yardstick.sign
    arm, rival = ([sign * c.scores[s] for s in duel.common] for c in (duel.arm, duel.rival))
    with np.errstate(all="ignore"):
        bounds = stats.ttest_ind(arm, rival, equal_var=False).confidence_interval(0.95)
    return float(bounds.low), float(bounds.high)


def normal_quantile(duel: Duel) -> tuple[float, float]:
    half = 1.96 * np.std(duel.differences, ddof=1) / len(duel.common) ** 0.5
    return float(np.mean(duel.differences) - half), float(np.mean(duel.differences) + half)


def mean_alone(duel: Duel) -> tuple[float, float]:
    return float(np.mean(duel.differences)), float(np.mean(duel.differences))


def paired_by_position(contender: Contender) -> Contender:
    return replace(contender, scores=dict(enumerate(contender.scores.values())))


def seeds_at_the_same_mean(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    """Asks for one seed fewer than it takes."""
    judged = judge_arm(arm, rival, yardstick)
    return replace(judged, further_seeds=judged.further_seeds and judged.further_seeds - 1)


def seeds_despite_an_excuse(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    """Asks for seeds as if both arms had shown what they can do."""
    without = [replace(c, plateaued=True, tuned=True) for c in (arm, rival)]
    return replace(
        judge_arm(arm, rival, yardstick), further_seeds=judge_arm(*without, yardstick).further_seeds
    )


def outlier_is_a_loser(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    """Who spreads too widely loses."""
    judged = judge_arm(arm, rival, yardstick)
    differences = Duel(arm, rival, yardstick).differences
    wide = len(differences) > 1 and np.std(differences) > 1.1 * yardstick.margin
    return replace(judged, verdict="worse") if wide and not arm.excuse else judged


def level(word: ArmVerdict, instead: ArmVerdict) -> Judge:
    def judge(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
        judged = judge_arm(arm, rival, yardstick)
        return replace(judged, verdict=instead if judged.verdict == word else judged.verdict)

    return judge


MUTANTS: dict[str, tuple[Judge, Callable[[Judge, Duel], None]]] = {
    "the margin is ignored": (
        changed(yardstick=lambda yardstick, **_: replace(yardstick, margin=0.0)),
        law_specification,
    ),
    "lower is never better": (
        changed(yardstick=lambda yardstick, **_: replace(yardstick, higher_is_better=True)),
        law_direction_is_a_sign,
    ),
    "gains are losses": (
        changed(arm=lambda rival, arm, **_: replace(arm, scores=rival.scores),
                rival=lambda rival, arm, **_: replace(rival, scores=arm.scores)),
        law_who_gains_does_not_fall,
    ),
    "an arm that still improves can lose": (
        changed(arm=lambda arm, **_: replace(arm, plateaued=True)),
        law_no_loser_with_an_excuse,
    ),
    "an arm tuned to the edge can lose": (
        changed(arm=lambda arm, **_: replace(arm, tuned=True)),
        law_no_loser_with_an_excuse,
    ),
    "a rival that still improves can lose": (
        changed(rival=lambda rival, **_: replace(rival, plateaued=True)),
        law_no_loser_with_an_excuse,
    ),
    "a rival tuned to the edge can lose": (
        changed(rival=lambda rival, **_: replace(rival, tuned=True)),
        law_no_loser_with_an_excuse,
    ),
    "no score is ever out of reach": (
        changed(yardstick=lambda yardstick, **_: replace(yardstick, ceiling=None)),
        law_specification,
    ),
    "every score is out of reach": (
        changed(yardstick=lambda arm, yardstick, **_: replace(
            yardstick, ceiling=yardstick.sign * min([yardstick.sign * v for v in arm.scores.values()], default=0))),
        law_no_loser_with_an_excuse,
    ),
    "differences are unpaired": (from_interval(unpaired), law_only_pairs_count),
    "seeds are paired by position": (
        changed(arm=lambda arm, **_: paired_by_position(arm), rival=lambda rival, **_: paired_by_position(rival)),
        law_only_pairs_count,
    ),
    "the interval is a normal one": (from_interval(normal_quantile), law_specification),
    "means decide": (from_interval(mean_alone), law_specification),
    "one pair is enough": (
        lambda arm, rival, yardstick: replace(judge_arm(arm, rival, yardstick), verdict="not worse"),
        law_fewer_than_two_pairs_decide_nothing,
    ),
    "one seed too few is asked for": (seeds_at_the_same_mean, law_further_seeds_decide),
    "seeds are asked for where runs are too short": (seeds_despite_an_excuse, law_further_seeds_decide),
    "seeds are never asked for": (
        lambda arm, rival, yardstick: replace(judge_arm(arm, rival, yardstick), further_seeds=None),
        law_seeds_are_named_where_they_are_missing,
    ),
    "an outlier makes a loser": (outlier_is_a_loser, law_one_better_run_never_makes_a_loser),
    "the margin helps the rival": (
        changed(arm=lambda arm, yardstick, **_: replace(
            arm, scores={s: v - 2 * yardstick.sign * yardstick.margin for s, v in arm.scores.items()})),
        law_a_wider_margin_is_kinder,
    ),
    "the reason belongs to another verdict": (level("better", "worse"), law_because_is_a_sentence_of_its_verdict),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_breaks_a_law(name):
    judge, law = MUTANTS[name]

    @settings(
        max_examples=2000,
        database=None,
        phases=(Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(duels())
    def run(duel):
        law(judge, duel)

    with pytest.raises(AssertionError):
        run()


def test_every_law_is_broken_by_some_wrong_rule():
    assert {law for _, law in MUTANTS.values()} == set(LAWS)


def rates(
    judge: Judge, rng: np.random.Generator, *, truth: float, num_seeds: int, studies: int = 3000
) -> dict[str, float]:
    """How often each verdict falls where the true difference is ``truth`` margins, and seeds have luck."""
    yardstick = Yardstick(higher_is_better=False, margin=0.02, ceiling=None, floor=8.0)
    luck = rng.normal(2.0, 0.3, size=(studies, num_seeds))
    differences = 0.02 * truth + rng.normal(0, 0.01, size=(studies, num_seeds))
    counts = dict.fromkeys(RANK, 0)
    for rival, arm in zip(luck, luck - differences, strict=True):
        contenders = [
            Contender(name, dict(enumerate(scores.tolist())), True, True, attends=False)
            for name, scores in (("arm", arm), ("rival", rival))
        ]
        counts[judge(*contenders, yardstick).verdict] += 1
    return {verdict: count / studies for verdict, count in counts.items()}


def five_sigma(rate: float, studies: int = 3000) -> float:
    return 5 * (rate * (1 - rate) / studies) ** 0.5


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_errors_are_as_rare_as_promised(num_seeds, seed):
    """At the margin's edge 'worse' is false, and so is 'not worse', 2.5 % each; at 0 'better' is false."""
    rng = np.random.default_rng(seed)
    edge = rates(judge_arm, rng, truth=-1.0, num_seeds=num_seeds)
    level_ = rates(judge_arm, rng, truth=0.0, num_seeds=num_seeds)
    for rate in (edge["worse"], edge["not worse"] + edge["better"], level_["better"]):
        assert rate == pytest.approx(0.025, abs=five_sigma(0.025))
    assert level_["worse"] < edge["worse"] + five_sigma(0.025)


@pytest.mark.parametrize("wrong", [unpaired, normal_quantile, mean_alone])
def test_wrong_intervals_miss_the_promised_rate(wrong, seed):
    edge = rates(from_interval(wrong), np.random.default_rng(seed), truth=-1.0, num_seeds=3, studies=1500)
    assert edge["worse"] != pytest.approx(0.025, abs=five_sigma(0.025))


verdicts = st.sampled_from(["worse", "undecided", "not worse", "better"])
judgements = st.lists(st.tuples(verdicts, st.booleans()), max_size=5)
LEARNED = Contender("rival", {0: 0.9, 1: 0.91}, True, True, attends=True)
UNIT = Yardstick(higher_is_better=True, margin=0.02, ceiling=1.0, floor=0.1)


def task_verdict(found: list[tuple[ArmVerdict, bool]], rival: Contender = LEARNED) -> str:
    judged = [
        (Contender(f"arm{i}", {}, True, True, attends=attends), ArmJudgement(verdict, "", None))
        for i, (verdict, attends) in enumerate(found)
    ]
    return judge_task(judged, rival, UNIT)


@given(judgements)
def test_a_task_is_answered_by_the_first_that_holds(found):
    replaces = {attends for verdict, attends in found if verdict in ("better", "not worse")}
    if False in replaces:
        expected = "yes"
    elif True in replaces:
        expected = "hybrid"
    elif found and {verdict for verdict, _ in found} == {"worse"}:
        expected = "no"
    else:
        expected = "undecided"
    assert task_verdict(found) == expected


@given(judgements.filter(bool), st.data())
def test_a_better_arm_never_spoils_the_answer(found, data):
    order = ["no", "undecided", "hybrid", "yes"]
    index = data.draw(st.integers(0, len(found) - 1))
    verdict, attends = found[index]
    raised = data.draw(verdicts.filter(lambda other: RANK[other] >= RANK[verdict]))
    after = [*found[:index], (raised, attends), *found[index + 1 :]]
    assert order.index(task_verdict(after)) >= order.index(task_verdict(found))
    assert task_verdict(data.draw(st.permutations(found))) == task_verdict(found)


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    floor=st.floats(0, 1),
    higher=st.booleans(),
    found=judgements,
)
def test_nothing_is_learned_where_the_rival_reaches_the_floor(scores, floor, higher, found):
    yardstick = Yardstick(higher, 0.02, None, floor)
    rival = replace(LEARNED, scores=dict(enumerate(scores)))
    low, high = interval(scores) if len(scores) > 1 else (scores[0], scores[0])
    assume(min(abs(low - floor), abs(high - floor)) > 1e-9)
    learned = low > floor if higher else high < floor
    assert has_learned(rival, yardstick) == learned
    judged = [
        (Contender("arm", {}, True, True, attends=attends), ArmJudgement(v, "", None)) for v, attends in found
    ]
    assert (judge_task(judged, rival, yardstick) == "nothing learned") == (not learned)


@given(judgements)
def test_without_a_run_of_the_rival_nothing_is_decided(found):
    assert task_verdict(found, replace(LEARNED, scores={})) == "undecided"
