"""The answer in words: it says the verdict that was reached, of whom, by which numbers, and what would help."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalconv.options import parse_duration
from globalconv.study.answer.advice import Given
from globalconv.study.answer.sentence import answer_in_words
from globalconv.study.answer.statistics import estimate
from globalconv.study.answer.verdict import ArmJudgement, Contender, Yardstick, judge_arm, judge_task
from globalconv.study.design.arms import attends, mixers_of
from globalconv.study.design.presets import preset_for
from globalconv.study.schema import ArmAnswer, BaselineAnswer, TaskVerdict
from globalconv.study.spec import TaskPlan

OPENINGS: dict[TaskVerdict, str] = {
    "yes": "Yes: ",
    "hybrid": r"(Only|At least) as a hybrid: ",
    "no": "No: ",
    "undecided": r"Undecided(:| whether) ",
    "nothing learned": "Nothing learned: ",
}
RIVAL = "attention"
STEPS = 500
BUDGET = 300.0


@dataclass
class Runs:
    """What came out of an arm."""

    scores: list[float]
    plateaued: bool = True
    tuned: bool = True
    diverged: list[int] = field(default_factory=list)
    steps_to_plateau: int | None = None
    steps: int = STEPS


@dataclass
class Told:
    verdict: TaskVerdict
    sentence: str
    task: TaskPlan
    arms: dict[str, ArmAnswer]


def tell(
    arms: dict[str, Runs],
    *,
    higher: bool = True,
    margin: float = 0.02,
    tuned: bool = True,
    rival: str = RIVAL,
    baselines: Sequence[BaselineAnswer] = (),
    given: Given | None = None,
) -> Told:
    """Judge ``arms`` as a study does, and put it into words."""
    task = TaskPlan.model_construct(
        metric="accuracy" if higher else "bits_per_byte",
        higher_is_better=higher,
        margin=margin,
        ceiling=1.0 if higher else None,
        trivial_baseline=0.1 if higher else 8.0,
        tuned=tuned,
        baselines=tuple(baselines),
    )
    yardstick = Yardstick(higher, margin, task.ceiling, task.trivial_baseline)
    contenders = {
        name: Contender(
            name,
            dict(enumerate(runs.scores)),
            runs.plateaued,
            runs.tuned and tuned,
            attends(mixers_of(name, 2)),
            len(runs.diverged),
        )
        for name, runs in arms.items()
    }
    judged = {
        name: judge_arm(c, contenders[rival], yardstick) for name, c in contenders.items() if name != rival
    }
    verdict = judge_task([(contenders[name], j) for name, j in judged.items()], contenders[rival], yardstick)
    answers = {
        name: answer_of(name, runs, judged.get(name, ArmJudgement("rival", "", None)))  # type: ignore[arg-type]
        for name, runs in arms.items()
    }
    return Told(
        verdict,
        answer_in_words(task, verdict, list(answers.values()), rival, given or Given(BUDGET)),
        task,
        answers,
    )


def answer_of(name: str, runs: Runs, judgement: ArmJudgement) -> ArmAnswer:
    return ArmAnswer.model_construct(
        arm=name,
        mixers=mixers_of(name, 2),
        metric=estimate(runs.scores) if runs.scores else None,
        difference=judgement.difference,
        verdict=judgement.verdict,
        because=judgement.because,
        further_seeds=judgement.further_seeds,
        plateaued=runs.plateaued,
        steps=runs.steps,
        steps_to_plateau=runs.steps_to_plateau,
        diverged_seeds=runs.diverged,
    )


@st.composite
def outcomes(draw: st.DrawFn) -> Told:
    """Studies of every verdict, most of them decided."""
    often = st.sampled_from([True, True, True, True, True, False])
    higher, tuned, sober, learned = draw(st.booleans()), draw(often), draw(often), draw(often)
    num_seeds = draw(st.sampled_from([3, 3, 5, 2, 1]))
    patterns = ["global_conv", "gated_conv", "token_mlp", "hybrid", "gated_conv+attention"]
    names = draw(st.permutations(patterns))[: draw(st.integers(1, 5))]
    middle = (0.5 if learned else 0.1) if higher else (2.0 if learned else 8.0)
    offsets = draw(
        st.sampled_from([[-0.3, -0.05], [0.0, 0.015, 0.09], [-0.3, -0.02, 0.0, 0.09], [-0.4, -0.3, 0.3, 0.4]])
    )

    def runs(offset: float) -> Runs:
        spread = draw(st.sampled_from([0.002, 0.004] if sober else [0.0, 0.03]))
        scores = [middle + offset + spread * draw(st.floats(-1, 1)) for _ in range(num_seeds)]
        lost = [] if sober or draw(often) else draw(st.sampled_from([[0], list(range(num_seeds))]))
        scores = [score for seed, score in enumerate(scores) if seed not in lost]
        return Runs(scores, sober or draw(often), sober or draw(often), lost)

    arms = {RIVAL: runs(0.0)} | {name: runs(draw(st.sampled_from(offsets))) for name in names}
    return tell(arms, higher=higher, tuned=tuned)


@given(outcomes())
def test_a_sentence_opens_with_its_verdict(told):
    for verdict, opening in OPENINGS.items():
        assert bool(re.match(opening, told.sentence)) == (verdict == told.verdict)


@given(outcomes())
def test_it_is_one_clean_sentence(told):
    sentence = told.sentence
    assert sentence.endswith(".")
    assert not re.search(r"\.\s|\.\.|  |\s[,;:.)]|\(\s|\n|,\.|;\.|None|nan|\bTrue\b|\[|_per_", sentence)
    assert sentence.count("(") == sentence.count(")")
    assert not re.search(r"\b(\w+) \1\b", sentence)


@given(outcomes())
def test_it_names_the_arms_that_carry_the_verdict(told):
    sentence = told.sentence
    assert RIVAL in sentence
    others = [arm for name, arm in told.arms.items() if name != RIVAL]
    replacing = [arm for arm in others if arm.verdict in ("better", "not worse")]
    if told.verdict == "yes":
        named = [arm for arm in replacing if not attends(arm.mixers)]
    elif told.verdict == "hybrid":
        named = [arm for arm in others if not attends(arm.mixers)]
        assert any(f"hybrid: {arm.arm}, " in sentence for arm in replacing)
    elif told.verdict == "no":
        named = others
    else:
        named = []
        assert (
            told.verdict == "nothing learned"
            or any(arm.arm in sentence for arm in others if arm.verdict == "undecided")
            or told.arms[RIVAL].metric is None
        )
    for arm in named:
        assert arm.arm in sentence
        assert arm.metric is None or f"{arm.metric.mean:.3f}" in sentence


@given(outcomes())
def test_every_number_in_it_is_one_that_was_measured(told):
    measured = {f"{arm.metric.mean:.3f}" for arm in told.arms.values() if arm.metric}
    measured |= {f"{told.task.trivial_baseline:.3f}"}
    assert set(re.findall(r"-?\b\d+\.\d{3}\b", told.sentence)) <= measured


@settings(max_examples=150)
@given(outcomes())
def test_each_arm_is_given_its_own_verdict(told):
    """'so is' and 'so are' repeat the verdict that the sentence opens with."""
    if told.verdict not in ("yes", "hybrid", "no"):
        return
    opening, *clauses = re.split(r"; |, and ", told.sentence.rstrip("."))
    subject, word = re.findall(
        r": (.+?),? (?:with some attention left, )?(?:is|are both|are all) (.+) than", opening
    )[0]
    spoken = [(name, word) for name in re.findall(r"([\w+]+)(?: \(\S+\))?(?:, | and |$)", subject)]
    for clause in clauses:
        said = re.search(r"\b(not worse|worse|undecided)$", clause)
        spoken += [(name, said[1] if said else word) for name in re.findall(r"([\w+]+) \(", clause)]
        assert said or re.match(r"so (is|are) ", clause) or clause == "no arm without attention was run"
    assert spoken
    for name, verdict in spoken:
        assert told.arms[name].verdict == verdict


@settings(max_examples=150)
@given(outcomes())
def test_the_best_of_its_kind_comes_first(told):
    if told.verdict not in ("yes", "no"):
        return
    named = re.match(r"(?:Yes|No): ([\w+]+) ", told.sentence)
    assert named is not None
    first = told.arms[named[1]]
    alike = [arm for arm in told.arms.values() if arm.verdict == first.verdict]
    if told.verdict == "yes":
        alike = [arm for arm in alike if not attends(arm.mixers)]
    means = [arm.metric.mean for arm in alike]
    assert first.metric.mean == (max(means) if told.task.higher_is_better else min(means))


@given(outcomes())
def test_it_advises_only_what_can_help(told):
    sentence, arms = told.sentence, told.arms
    if "--sweep" in sentence:
        assert told.verdict == "undecided"
        assert not told.task.tuned
    if "longer runs" in sentence:
        assert told.verdict == "undecided"
        assert any(not arm.plateaued for arm in arms.values())
    if seeds := re.search(r"about (\d+) more seeds? would \(--seeds (\d+)\)", sentence):
        more, total = int(seeds[1]), int(seeds[2])
        assert more in {arm.further_seeds for arm in arms.values()}
        assert total - more in {
            arm.metric.num_seeds + len(arm.diverged_seeds) for arm in arms.values() if arm.metric
        }
        assert ("more seed would" in sentence) == (more == 1)
    if "train three" in sentence:
        assert not arms[RIVAL].diverged_seeds
        assert any(arm.difference and arm.difference.num_seeds < 2 for arm in arms.values())


CLOSE = [0.951, 0.949, 0.95]
EXAMPLES = {
    "one arm replaces it": (
        {RIVAL: Runs(CLOSE), "global_conv": Runs([0.952, 0.948, 0.951])},
        "Yes: global_conv is not worse than attention (accuracy 0.950 against 0.950, margin 0.02).",
    ),
    "a better one, another better one, and two that keep up": (
        {
            RIVAL: Runs(CLOSE),
            "global_conv": Runs([0.981, 0.979, 0.98]),
            "gated_conv": Runs([0.986, 0.984, 0.985]),
            "token_mlp": Runs([0.952, 0.948, 0.95]),
            "hybrid": Runs([0.99, 0.99, 0.99]),
        },
        "Yes: gated_conv is better than attention (accuracy 0.985 against 0.950, margin 0.02); so is "
        "global_conv (0.980), and token_mlp (0.950) is not worse.",
    ),
    "only with some attention left": (
        {
            RIVAL: Runs(CLOSE),
            "global_conv": Runs([0.31, 0.3, 0.32]),
            "gated_conv": Runs([0.25, 0.29, 0.21], plateaued=False),
            "hybrid": Runs([0.96, 0.95, 0.955]),
        },
        "Only as a hybrid: hybrid, with some attention left, is not worse than attention (accuracy 0.955 "
        "against 0.950, margin 0.02); without attention, global_conv (0.310) is worse, and gated_conv (0.250) "
        "is undecided.",
    ),
    "a hybrid, and nothing else was tried": (
        {RIVAL: Runs(CLOSE), "hybrid": Runs([0.952, 0.948, 0.951])},
        "At least as a hybrid: hybrid, with some attention left, is not worse than attention (accuracy 0.950 "
        "against 0.950, margin 0.02); no arm without attention was run.",
    ),
    "nothing replaces it": (
        {RIVAL: Runs(CLOSE), "global_conv": Runs([0.31, 0.3, 0.32]), "hybrid": Runs([0.71, 0.7, 0.72])},
        "No: hybrid (0.710) and global_conv (0.310) are both worse than attention (accuracy 0.950, margin 0.02).",
    ),
    "the only other arm is worse": (
        {RIVAL: Runs(CLOSE), "global_conv": Runs([0.31, 0.3, 0.32])},
        "No: global_conv is worse than attention (accuracy 0.310 against 0.950, margin 0.02).",
    ),
    "too few seeds": (
        {RIVAL: Runs([0.95]), "global_conv": Runs([0.9])},
        "Undecided whether global_conv keeps up with attention (accuracy 0.900 against 0.950, margin 0.02): only "
        "one seed finished in both arms, and an interval takes two; train three (--seeds 3).",
    ),
    "an interval too wide": (
        {RIVAL: Runs([0.95, 0.9, 0.93]), "global_conv": Runs([0.92, 0.94, 0.935])},
        "Undecided whether global_conv keeps up with attention (accuracy 0.932 against 0.927, margin 0.02): the "
        "interval of the difference reaches across the margin at -0.02, so the runs cannot tell; about 8 more "
        "seeds would (--seeds 11).",
    ),
    "an arm that was still improving": (
        {RIVAL: Runs(CLOSE), "gated_conv": Runs([0.25, 0.29, 0.21], plateaued=False)},
        "Undecided whether gated_conv keeps up with attention (accuracy 0.250 against 0.950, margin 0.02): behind "
        "by more than the margin, but gated_conv was still improving when its steps ran out; longer runs "
        "(--steps, or a larger --budget) may decide it.",
    ),
    "no run finished": (
        {RIVAL: Runs(CLOSE), "global_conv": Runs([], diverged=[0, 1, 2])},
        "Undecided: no run of global_conv finished (accuracy of attention: 0.950).",
    ),
    "no run of the rival finished": (
        {RIVAL: Runs([], diverged=[0, 1, 2]), "global_conv": Runs(CLOSE)},
        "Undecided: no run of attention finished, so there is nothing to compare with.",
    ),
    "the rival guesses": (
        {RIVAL: Runs([0.1, 0.11, 0.09]), "global_conv": Runs([0.5, 0.4, 0.6])},
        "Nothing learned: attention itself is not clear of guessing (accuracy 0.100, guessing gives 0.100; the "
        "best other arm, global_conv, reaches 0.500), so there is nothing to compare with; give it more steps "
        "(--steps, or a larger --budget) or more data.",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_reads_like_this(name):
    arms, sentence = EXAMPLES[name]
    assert tell(arms).sentence == sentence


def test_direction_is_told_where_lower_is_better():
    told = tell(
        {RIVAL: Runs([2.38, 2.4, 2.39]), "global_conv": Runs([2.18, 2.2, 2.19])}, higher=False, margin=0.03
    )
    assert told.sentence == (
        "Yes: global_conv is better than attention (bits per byte 2.190 against 2.390, lower is better, margin 0.03)."
    )


def test_untuned_rates_are_to_be_tuned():
    told = tell({RIVAL: Runs(CLOSE), "global_conv": Runs([0.9, 0.9, 0.9], plateaued=False)}, tuned=False)
    assert told.verdict == "undecided"
    assert "longer runs (--steps, or a larger --budget) and tuning (--sweep) may decide it." in told.sentence


def test_a_sweep_is_not_advised_after_a_sweep():
    told = tell({RIVAL: Runs(CLOSE), "global_conv": Runs([0.9, 0.9, 0.9], tuned=False)})
    assert "on the edge of what was tried" in told.sentence
    assert "--sweep" not in told.sentence


@given(st.integers(STEPS + 1, 100 * STEPS))
def test_longer_runs_are_advised_with_a_budget_that_holds_them(steps):
    gaining = Runs([0.25, 0.29, 0.21], plateaued=False, steps_to_plateau=steps)
    sentence = tell({RIVAL: Runs(CLOSE), "gated_conv": gaining}).sentence
    advice = re.search(
        r"at least ([\d.]+) times the steps, such as --budget (\w+)(; .*)?\) may decide it", sentence
    )
    assert advice is not None
    assert float(advice[1]) == pytest.approx(steps / STEPS, abs=0.0501)
    budget = parse_duration(advice[2])
    assert budget >= BUDGET * steps / STEPS
    other_defaults = preset_for("text", BUDGET) != preset_for("text", budget)
    assert (advice[3] is not None) == other_defaults
    assert advice[3] is None or "the defaults are larger: swept rates, five seeds" in advice[3]


@given(st.integers(STEPS + 1, 100 * STEPS), st.floats(0.2, 5.0))
def test_where_the_steps_were_given_more_of_them_are_advised(steps, pace):
    """--steps are the rival's: an arm with others, where seconds are matched, is to have so many times as many."""
    own = max(1, round(pace * STEPS))
    gaining = Runs([0.25, 0.29, 0.21], plateaued=False, steps=own, steps_to_plateau=math.ceil(steps * pace))
    arms = {RIVAL: Runs(CLOSE), "gated_conv": gaining}
    given_steps = Given(BUDGET, fixed_steps=STEPS)
    advice = re.search(r"such as --steps (\d+) --budget", tell(arms, given=given_steps).sentence)
    assert advice is not None
    needed = gaining.steps_to_plateau / own * STEPS
    assert needed <= int(advice[1]) < 1.1 * needed + 1
    gaining.steps_to_plateau = None
    unforetold = tell(arms, given=given_steps).sentence
    assert "longer runs (--steps, and a --budget that holds them)" in unforetold


@given(outcomes())
def test_an_unfinished_study_says_so_and_gives_no_advice(told):
    unfinished = answer_in_words(
        told.task, told.verdict, list(told.arms.values()), RIVAL, Given(BUDGET, unfinished=True)
    )
    opening = re.split(r" \(| ", told.sentence)[0]
    assert unfinished.startswith(opening)
    assert unfinished.endswith(
        "The study is unfinished: its command goes on with it, and the answer may change."
    )
    assert "--" not in unfinished
    assert "may decide" not in unfinished


def test_a_rival_that_learned_with_some_seeds_is_to_have_more_of_them():
    told = tell({RIVAL: Runs([0.9, 0.12, 0.1]), "global_conv": Runs([0.5, 0.4, 0.6])})
    assert told.verdict == "nothing learned"
    assert told.sentence.endswith("; its 3 seeds scatter: give it more of them (--seeds), or more steps.")


def test_seeds_that_diverged_count_among_the_seeds_to_ask_for():
    """Four were run, one of them diverged: about eight more make twelve."""
    wide = {RIVAL: Runs([0.95, 0.9, 0.93]), "global_conv": Runs([0.92, 0.94, 0.935])}
    fewer = re.search(r"--seeds (\d+)", tell(wide).sentence)
    wide["global_conv"].diverged = [3]
    more = re.search(r"--seeds (\d+)", tell(wide).sentence)
    assert fewer is not None
    assert more is not None
    assert int(more[1]) == int(fewer[1]) + 1


def test_a_baseline_above_the_rival_is_told_with_the_answer():
    """On the digits a linear model on the raw pixels beats attention."""
    arms = {RIVAL: Runs([0.93, 0.94, 0.935]), "gated_conv": Runs([0.98, 0.985, 0.99])}
    baselines = [
        BaselineAnswer(name="majority class", value=0.1),
        BaselineAnswer(name="linear model", value=0.97),
    ]
    assert "'linear model' reaches 0.970" in tell(arms, baselines=baselines).sentence
    assert "baseline" not in tell(arms, baselines=baselines[:1]).sentence
    lower = {RIVAL: Runs([2.0, 2.01, 2.02]), "gated_conv": Runs([1.9, 1.91, 1.9])}
    baselines = [
        BaselineAnswer(name="byte frequencies", value=4.6),
        BaselineAnswer(name="n-gram", value=1.95),
    ]
    assert "'n-gram' reaches 1.950" in tell(lower, higher=False, baselines=baselines).sentence
    assert "baseline" not in tell(lower, higher=False, baselines=baselines[:1]).sentence


@pytest.mark.parametrize(
    ("verdict", "arms"),
    [
        ("undecided", {RIVAL: Runs([3.4, 3.5, 3.6], plateaued=False), "gated_conv": Runs([3.3, 3.4, 3.5])}),
        ("no", {RIVAL: Runs([2.0, 2.01, 2.0]), "gated_conv": Runs([2.9, 2.91, 2.92])}),
        ("yes", {RIVAL: Runs([2.9, 2.91, 2.9]), "gated_conv": Runs([2.0, 2.01, 2.02])}),
        ("hybrid", {RIVAL: Runs([2.9, 2.91, 2.9]), "hybrid": Runs([2.0, 2.01, 2.02])}),
        ("nothing learned", {RIVAL: Runs([8.0, 8.1, 8.2]), "gated_conv": Runs([7.9, 7.8, 7.7])}),
    ],
)
def test_a_baseline_above_every_arm_is_told_whatever_the_verdict(verdict: TaskVerdict, arms: dict[str, Runs]):
    baselines = [
        BaselineAnswer(name="byte frequencies", value=8.0),
        BaselineAnswer(name="5-gram", value=1.18),
    ]
    told = tell(arms, higher=False, baselines=baselines)
    assert told.verdict == verdict
    assert told.sentence.endswith("'5-gram' reaches 1.180 without any of this, and no arm does.")
    assert "baseline" not in tell(arms, higher=False, baselines=baselines[:1]).sentence
