"""How numbers are written: a number that is read back is the number, to the digits shown."""

import math
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.display import numbers
from globalconv.study.report import wording
from globalconv.study.schema import AxisRanking, BlockInside, Estimate, ModelInside, PartsAnswer
from tests.study import fake_answers
from tests.study.fake_answers import arm, estimate, task

finite_numbers = st.floats(-1e9, 1e9)
positive = st.floats(1e-7, 1e13)
UNITS = {
    "": 1,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "B": 1,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "s": 1,
    "ms": 1e-3,
    "µs": 1e-6,
}
UNITS |= {"FLOP": 1, "kFLOP": 1e3, "MFLOP": 1e6, "GFLOP": 1e9, "TFLOP": 1e12, "PFLOP": 1e15}


def read(text: str) -> float:
    number, _, unit = text.partition(" ")
    return float(number.replace("−", "-")) * UNITS[unit]


@given(finite_numbers, st.integers(0, 6))
def test_a_plain_number_reads_back(value, decimals):
    text = numbers.plain(value, decimals)
    assert abs(read(text) - value) <= 0.5000001 * 10.0**-decimals + 1e-9 * abs(value)
    assert "-" not in text
    assert not re.fullmatch(r"−0\.?0*", text)
    assert numbers.signed(value, decimals).lstrip("+") == text
    assert numbers.signed(value, decimals).startswith("+") == (read(text) > 0)


@given(positive)
def test_three_digits_are_kept(value):
    text = numbers.significant(value)
    assert read(text) == pytest.approx(value, rel=0.005)
    assert "e" not in text
    assert value >= 1000 or len(text.replace(".", "").lstrip("0")) in (1, 3)


@pytest.mark.parametrize("write", [numbers.count, numbers.duration, numbers.format_bytes, numbers.flops])
@given(value=st.floats(1e-6, 1e14))
def test_units_read_back(write, value):
    text = write(value)
    assert read(text) == pytest.approx(value, rel=0.0051)
    number = text.split(" ")[0]
    largest_or_smallest = text.split(" ")[-1] in ("G", "GB", "PFLOP", "s", "µs", "B", "FLOP", number)
    assert largest_or_smallest or 1 <= float(number) < 1000


@given(st.integers(0, 999))
def test_small_counts_are_exact(value):
    assert numbers.count(value) == str(value)


@given(st.floats(0.001, 1e6))
def test_long_times_read_back(seconds):
    parts = re.findall(r"([\d.]+) (h|min|s)", numbers.span(seconds))
    total = sum(float(number) * {"h": 3600, "min": 60, "s": 1}[unit] for number, unit in parts)
    assert abs(total - seconds) <= max(0.5, 30 * (seconds >= 3599.5), 0.005 * (seconds < 9.95))
    assert all(float(number) < 60 for number, unit in parts if unit != "h")


@given(st.floats(-5, 4).map(lambda exponent: 10.0**exponent))
def test_a_difference_of_one_margin_is_seen(margin):
    digits = numbers.decimals_for(margin)
    assert read(numbers.plain(margin, digits)) == pytest.approx(margin, rel=0.051)
    assert digits == 0 or margin * 10.0**digits < 101, "no digits that mean nothing"


def test_what_is_no_number_is_a_dash():
    for value in (None, math.nan, math.inf, -math.inf):
        assert numbers.plain(value) == numbers.signed(value) == "–"
    assert numbers.significant(math.nan) == "–"
    assert wording.interval(estimate(1.0, num_seeds=1)) == "(one seed)"


@given(st.text(min_size=1, max_size=80), st.integers(3, 40))
def test_shortened_names_fit_and_keep_both_ends(name, limit):
    short = numbers.shortened(name, limit)
    assert len(short) <= limit
    assert (short == name) == (len(name) <= limit)
    assert (short[0], short[-1]) == (name[0], name[-1])


WORDS = st.text("abcdefgh_=", min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(13, 40))
def test_arms_are_broken_where_their_options_begin(words, limit):
    name = words[0] + (f"[{','.join(words[1:])}]" if words[1:] else "")
    lines = numbers.in_lines(name, limit).split("\n")
    assert "".join(lines) == name, "nothing is left out"
    assert all(len(line) <= limit for line in lines)
    assert (lines == [name]) == (len(name) <= limit)


def test_blocks_are_counted():
    assert wording.stack(("a", "a", "b", "a")) == "a ×2, b, a"


def ranked(values: dict[str, dict[str, float]], *, higher: bool = True, margin: float = 0.01):
    """A task whose arms have these validation metrics on each axis."""
    random = Random(0)
    names = sorted({name for at in values.values() for name in at})
    arms = [arm(name, estimate(1.0), None, "undecided", random=random) for name in names]
    rankings = [
        AxisRanking(
            axis=axis, at=1.0, values=dict(sorted(at.items(), key=lambda pair: pair[1], reverse=higher))
        )
        for axis, at in values.items()
    ]
    return task("t", arms, "no", "No.", higher=higher, margin=margin).model_copy(
        update={"rankings": rankings}
    )


def test_a_reversal_names_the_arms_and_the_axes():
    values = {"steps": {"a": 0.9, "b": 0.8}, "seconds": {"a": 0.7, "b": 0.8}, "flops": {"a": 0.8, "b": 0.8}}
    sentence = wording.compare_rankings(ranked(values))
    assert "a leads b at equal steps, but trails it at equal seconds of training" in sentence
    assert "flops" not in sentence
    same = {axis: {name: -value for name, value in at.items()} for axis, at in values.items()}
    assert wording.compare_rankings(ranked(same, higher=False)) == sentence


def test_a_swap_within_the_margin_is_none():
    values = {"steps": {"a": 0.9, "b": 0.8}, "seconds": {"a": 0.800, "b": 0.805}}
    assert "within the margin" in wording.compare_rankings(ranked(values))
    assert "depends" in wording.compare_rankings(ranked(values, margin=0.001))
    assert "same on both axes" in wording.compare_rankings(
        ranked({"steps": values["steps"], "flops": values["steps"]})
    )


def test_arms_that_never_meet_are_not_compared():
    assert "Fewer than two" in wording.compare_rankings(ranked({"steps": {"a": 1.0}, "seconds": {"b": 1.0}}))
    assert wording.compare_rankings(ranked({"steps": {"a": 1.0, "b": 2.0}})) == ""


@given(st.integers(0, 2**32))
def test_the_sentence_agrees_with_the_values(seed):
    random = Random(seed)
    axes = ("steps", "seconds", "flops")
    values = {axis: {name: round(random.random(), 2) for name in "abc"} for axis in axes}
    sentence = wording.compare_rankings(ranked(values, margin=0.05))
    for first, second in ("ab", "ac", "bc"):
        leads = [values[axis][first] - values[axis][second] for axis in axes]
        reversed_ = max(leads) > 0.05 and min(leads) < -0.05
        assert (f"{first} leads {second} at" in sentence) == reversed_


def test_dates_are_short_and_odd_ones_stay():
    assert numbers.moment("2025-11-22T13:19:44+01:00") == "2025-11-22 13:19"
    assert numbers.moment("yesterday") == "yesterday"


def test_every_verdict_has_a_sign_of_its_own():
    tasks = {answer().tasks[0].verdict for answer in fake_answers.ALL.values()} | {"no", "hybrid"}
    assert tasks == {"yes", "hybrid", "no", "undecided", "nothing learned"}
    for verdicts in (tasks, {"rival", "better", "not worse", "worse", "undecided"}):
        assert len({wording.VERDICT_SIGNS[verdict] for verdict in verdicts}) == 5


def test_an_encoder_decoders_mixers_are_told_part_by_part():
    task = next(
        task
        for answer in fake_answers.ALL.values()
        for task in answer().tasks
        if task.arms[0].parts is not None
    )
    (first, *_), mixers = task.arms, ("a", "b", "b")
    arm = first.model_copy(update={"mixers": mixers, "parts": None})
    assert wording.blocks(arm) == wording.stack(mixers) == "a, b ×2"
    parts = PartsAnswer(encoder=("a", "b"), decoder=("b", "b"), cross="c")
    told = "encoder a, b; decoder b ×2; read by c"
    assert wording.blocks(arm.model_copy(update={"parts": parts})) == told


def test_what_a_token_sees_is_told_of_either_side():
    """'A token sees only what came before it' is false of an encoder."""
    tasks = [task for answer in fake_answers.ALL.values() for task in answer().tasks]
    pairs = next(task for task in tasks if task.arms[0].parts is not None)
    told = wording.visibility(pairs)
    assert "in the encoder every token sees all others, in the decoder only what came before it" in told
    assert f"at most {pairs.length} tokens" in told
    assert wording.depth(pairs).endswith("on either side")
    for one in tasks:
        if one.arms[0].parts is None:
            assert f"Length {one.length}, " in wording.visibility(one)
            assert ("only what came before" in wording.visibility(one)) == one.causal
            assert "side" not in wording.depth(one)


def test_seeds_that_are_missing_are_not_counted():
    answer = fake_answers.default_study()
    assert wording.chances(answer) == "3 seeds"
    first = answer.tasks[0]
    compared = next(arm for arm in first.arms if arm.difference)
    fewer = compared.model_copy(
        update={"difference": compared.difference.model_copy(update={"num_seeds": 1})}
    )
    arms = [fewer if arm is compared else arm for arm in first.arms]
    tasks = [first.model_copy(update={"arms": arms}), *answer.tasks[1:]]
    assert wording.chances(answer.model_copy(update={"tasks": tasks})) == "1 to 3 seeds"
    none_yet = [arm.model_copy(update={"difference": None, "over_examples": None}) for arm in first.arms]
    begun = first.model_copy(update={"arms": none_yet})
    assert wording.chances(answer.model_copy(update={"tasks": [begun]})) == "3 seeds"


def test_content_is_told_part_by_part():
    def block(mixer, share, **more):
        return BlockInside(mixer=mixer, content_dependence=share, uncertainty=0.01, **more)

    inside = ModelInside(seed=0, examples=8, length=4, blocks=[block("a", 0.0), block("b", 0.5)])
    assert wording.contents(inside) == "a 0, b 0.50"
    blocks = [
        block("a", 0.25, part="encoder"),
        block("a", 0.0, part="encoder"),
        block("b", 0.5, part="decoder"),
        block("c", 0.75, part="cross", target_held=0.0),
        block("c", 0.75, part="cross", target_held=0.125),
    ]
    assert wording.contents(inside.model_copy(update={"blocks": blocks})) == (
        "encoder a 0.25, a 0; decoder b 0.50; read by c 0.75 (target held: 0), c 0.75 (target held: 0.12)"
    )
    assert wording.contents(inside.model_copy(update={"blocks": []})) == "one example only"


def test_seeds_that_tie_have_no_interval():
    tied = Estimate(mean=0.777, low=0.777, high=0.777, num_seeds=2)
    assert wording.interval(tied) == "(2 equal seeds)"
    assert wording.interval(tied.model_copy(update={"high": 0.7771})) == "[0.777, 0.777]"
