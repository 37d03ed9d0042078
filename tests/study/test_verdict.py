"""The rule by which a study answers: its laws, wrong rules that break them, its errors, and a task's verdict."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from globalconv.study.answer.statistics import further_seeds
from globalconv.study.answer.verdict import (
    ArmJudgement,
    Contender,
    Yardstick,
    has_learned,
    judge_arm,
    judge_task,
)
from globalconv.study.schema import ArmVerdict
from tests.study import verdict_laws as laws
from tests.study.verdict_laws import LAWS, RANK, Duel, Judge, duels, interval, specified


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
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
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scores that are all alike
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
        laws.law_specification,
    ),
    "lower is never better": (
        changed(yardstick=lambda yardstick, **_: replace(yardstick, higher_is_better=True)),
        laws.law_direction_is_a_sign,
    ),
    "gains are losses": (
        changed(arm=lambda rival, arm, **_: replace(arm, scores=rival.scores),
                rival=lambda rival, arm, **_: replace(rival, scores=arm.scores)),
        laws.law_who_gains_does_not_fall,
    ),
    "an arm that still improves can lose": (
        changed(arm=lambda arm, **_: replace(arm, plateaued=True)),
        laws.law_no_loser_with_an_excuse,
    ),
    "an arm tuned to the edge can lose": (
        changed(arm=lambda arm, **_: replace(arm, tuned=True)),
        laws.law_no_loser_with_an_excuse,
    ),
    "a rival that still improves can lose": (
        changed(rival=lambda rival, **_: replace(rival, plateaued=True)),
        laws.law_no_loser_with_an_excuse,
    ),
    "a rival tuned to the edge can lose": (
        changed(rival=lambda rival, **_: replace(rival, tuned=True)),
        laws.law_no_loser_with_an_excuse,
    ),
    "no score is ever out of reach": (
        changed(yardstick=lambda yardstick, **_: replace(yardstick, ceiling=None)),
        laws.law_specification,
    ),
    "every score is out of reach": (
        changed(yardstick=lambda arm, yardstick, **_: replace(
            yardstick, ceiling=yardstick.sign * min([yardstick.sign * v for v in arm.scores.values()], default=0))),
        laws.law_no_loser_with_an_excuse,
    ),
    "differences are unpaired": (from_interval(unpaired), laws.law_only_pairs_count),
    "seeds are paired by position": (
        changed(arm=lambda arm, **_: paired_by_position(arm), rival=lambda rival, **_: paired_by_position(rival)),
        laws.law_only_pairs_count,
    ),
    "the interval is a normal one": (from_interval(normal_quantile), laws.law_specification),
    "means decide": (from_interval(mean_alone), laws.law_specification),
    "one pair is enough": (
        lambda arm, rival, yardstick: replace(judge_arm(arm, rival, yardstick), verdict="not worse"),
        laws.law_fewer_than_two_pairs_decide_nothing,
    ),
    "one seed too few is asked for": (seeds_at_the_same_mean, laws.law_further_seeds_decide),
    "seeds are asked for where runs are too short": (seeds_despite_an_excuse, laws.law_further_seeds_decide),
    "seeds are never asked for": (
        lambda arm, rival, yardstick: replace(judge_arm(arm, rival, yardstick), further_seeds=None),
        laws.law_seeds_are_named_where_they_are_missing,
    ),
    "an outlier makes a loser": (outlier_is_a_loser, laws.law_one_better_run_never_makes_a_loser),
    "the margin helps the rival": (
        changed(arm=lambda arm, yardstick, **_: replace(
            arm, scores={s: v - 2 * yardstick.sign * yardstick.margin for s, v in arm.scores.items()})),
        laws.law_a_wider_margin_is_kinder,
    ),
    "the reason belongs to another verdict": (level("better", "worse"), laws.law_because_is_a_sentence_of_its_verdict),
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
    judge: Judge, rng: np.random.Generator, *, truth: float, num_seeds: int, studies: int = 2500
) -> dict[str, float]:
    """How often each verdict falls where the true difference is ``truth`` margins, and seeds have luck."""
    yardstick = Yardstick(higher_is_better=False, margin=0.02, ceiling=None, baseline=8.0)
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


def five_sigma(rate: float, studies: int = 2500) -> float:
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
    edge = rates(from_interval(wrong), np.random.default_rng(seed), truth=-1.0, num_seeds=3, studies=500)
    assert edge["worse"] != pytest.approx(0.025, abs=five_sigma(0.025))


verdicts = st.sampled_from(["worse", "undecided", "not worse", "better"])
judgements = st.lists(st.tuples(verdicts, st.booleans()), max_size=5)
LEARNED = Contender("rival", {0: 0.9, 1: 0.91}, True, True, attends=True)
UNIT = Yardstick(higher_is_better=True, margin=0.02, ceiling=1.0, baseline=0.1)


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
    baseline=st.floats(0, 1),
    higher=st.booleans(),
    found=judgements,
)
def test_nothing_is_learned_where_the_rival_reaches_the_baseline(scores, baseline, higher, found):
    yardstick = Yardstick(higher, 0.02, None, baseline)
    rival = replace(LEARNED, scores=dict(enumerate(scores)))
    low, high = interval(scores) if len(scores) > 1 else (scores[0], scores[0])
    assume(min(abs(low - baseline), abs(high - baseline)) > 1e-9)
    learned = low > baseline if higher else high < baseline
    assert has_learned(rival, yardstick) == learned
    judged = [
        (Contender("arm", {}, True, True, attends=attends), ArmJudgement(v, "", None)) for v, attends in found
    ]
    assert (judge_task(judged, rival, yardstick) == "nothing learned") == (not learned)


@given(judgements)
def test_without_a_run_of_the_rival_nothing_is_decided(found):
    assert task_verdict(found, replace(LEARNED, scores={})) == "undecided"


def test_who_cannot_be_beaten_needs_no_steady_rival():
    """A rival with one bad seed in three makes the paired interval wide; .998 of 1 is still not worse."""
    rival = Contender("attention", {0: 0.999, 1: 0.96, 2: 0.997}, True, True, attends=True)
    steady = {0: 0.998, 1: 0.999, 2: 0.997}
    accuracy = Yardstick(higher_is_better=True, margin=0.02, ceiling=1.0, baseline=0.25)
    judged = judge_arm(Contender("hybrid", steady, False, False, attends=True), rival, accuracy)
    assert judged.verdict == "not worse"
    assert "own interval" in judged.because
    assert judged.difference is not None
    assert judged.difference.low is not None
    assert judged.difference.low < -0.02
    no_ceiling = Yardstick(higher_is_better=True, margin=0.02, ceiling=None, baseline=0.25)
    judged = judge_arm(Contender("hybrid", steady, True, True, attends=True), rival, no_ceiling)
    assert judged.verdict == "undecided"


def crossed(
    rng: np.random.Generator, *, truth: float, examples: int, seeds: int = 3
) -> tuple[Contender, Contender]:
    """Two arms whose difference is ``truth`` in the mean over all examples there are and all seeds.

    Both chances are large: which examples are tested, and which seeds are run.
    """
    of_example = 0.5 * rng.normal(size=examples)
    draws = rng.multinomial(examples, np.full(examples, 1 / examples), size=200) / examples
    arm, rival, again = {}, {}, ({}, {})
    for seed in range(seeds):
        scored = truth + of_example + 0.02 * rng.normal() + 0.1 * rng.normal(size=examples)
        arm[seed], rival[seed] = 0.5 + float(scored.mean()), 0.5
        again[0][seed], again[1][seed] = (0.5 + draws @ scored).tolist(), [0.5] * len(draws)
    return (
        Contender("arm", arm, True, True, attends=False, resampled=again[0]),
        Contender("rival", rival, True, True, attends=True, resampled=again[1]),
    )


def forgets_the_examples(arm: Contender, rival: Contender, yardstick: Yardstick) -> ArmJudgement:
    return judge_arm(replace(arm, resampled={}), rival, yardstick)


def rate_of_false_losers(judge: Judge, seed: int, studies: int = 400) -> float:
    """At the edge of the margin "worse" is false: how often it is said all the same."""
    rng = np.random.default_rng(seed)
    yardstick = Yardstick(higher_is_better=True, margin=0.02, ceiling=None, baseline=-8.0)
    verdicts_ = [judge(*crossed(rng, truth=-0.02, examples=400), yardstick).verdict for _ in range(studies)]
    return verdicts_.count("worse") / studies


def test_the_choice_of_test_examples_makes_no_false_losers(seed):
    assert rate_of_false_losers(judge_arm, seed) < 0.025 + 5 * (0.025 * 0.975 / 400) ** 0.5
    assert rate_of_false_losers(forgets_the_examples, seed) > 0.05


@given(duels(), st.floats(0, 0.5))
def test_test_examples_can_only_widen_the_interval(duel, luck):
    """What moves both arms moves no difference; what moves one makes no verdict surer."""
    assume(len(duel.common) >= 2)

    def redrawn(contender: Contender, *shifts: float) -> Contender:
        scores = contender.scores.items()
        return replace(contender, resampled={s: [v + shift for shift in shifts] for s, v in scores})

    alone = duel.judged(judge_arm).difference
    assert alone is not None
    rival = redrawn(duel.rival, 0.0, luck, -luck)
    together = judge_arm(redrawn(duel.arm, 0.0, luck, -luck), rival, duel.yardstick).difference
    apart = judge_arm(redrawn(duel.arm, 0.0, -luck, luck), rival, duel.yardstick)
    assert together.low == pytest.approx(alone.low, abs=1e-9)
    assert apart.difference.low <= alone.low + 1e-9
    assert apart.difference.high >= alone.high - 1e-9
    assert (apart.over_seeds, apart.over_examples.mean) == (alone, alone.mean)
    assert RANK[apart.verdict] <= RANK["not worse"] or apart.difference.low > 0


def test_too_few_examples_are_named_and_no_seeds_asked_for():
    scores = {0: 0.5, 1: 0.501, 2: 0.499}
    arm = Contender("arm", scores, True, True, attends=False, resampled={s: [0.4, 0.5, 0.6] for s in scores})
    rival = Contender("rival", dict.fromkeys(scores, 0.5), True, True, attends=True)
    rival = replace(rival, resampled=dict.fromkeys(scores, [0.5] * 3))
    yardstick = Yardstick(higher_is_better=True, margin=0.02, ceiling=None, baseline=0.1)
    judged = judge_arm(arm, rival, yardstick)
    assert (judged.verdict, judged.further_seeds) == ("undecided", None)
    assert "test examples are too few" in judged.because
    assert judge_arm(replace(arm, resampled={}), rival, yardstick).verdict == "not worse"


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(-1, 1), st.floats(0, 1))
def test_seeds_do_not_narrow_what_the_examples_leave(found, boundary, besides):
    few, more = further_seeds(found, boundary), further_seeds(found, boundary, besides=besides)
    assert more is None or (few is not None and few <= more)
    if abs(np.mean(found) - boundary) < besides:
        assert more is None
