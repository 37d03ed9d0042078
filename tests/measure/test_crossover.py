"""Where power laws cross, where they do not, and what is said of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.measure.crossover import crossover, crossover_of_counts, crossover_sentence

LENGTHS = [64 * 2**k for k in range(8)]
factors = st.floats(0.1, 10)


@given(at=st.floats(70, 8000), slow=st.floats(1.2, 3), fast=st.floats(0.1, 1), scale=factors)
def test_power_laws_cross_where_they_do(at, slow, fast, scale):
    rival = {n: scale * (n / at) ** slow for n in LENGTHS}
    challenger = {n: scale * (n / at) ** fast for n in LENGTHS}
    found = crossover(challenger, rival)
    assert found.length == pytest.approx(at, rel=1e-6)
    assert found.before <= at <= found.after
    assert found.after == 2 * found.before
    assert found.longest == LENGTHS[-1]
    turned = crossover(rival, challenger)  # below only at first, so it never stays below
    assert (turned.length, turned.before) == (None, LENGTHS[-1])


def test_below_from_the_first_on():
    found = crossover({64: 1, 128: 2}, {64: 2, 128: 4, 256: 8})
    assert (found.length, found.before, found.after, found.longest) == (64, None, 64, 128)


def test_what_falls_below_and_rises_again_has_not_crossed():
    rival = dict.fromkeys(LENGTHS, 1.0)
    dips = dict(zip(LENGTHS, [2, 0.5, 2, 0.5, 0.5, 0.5, 0.5, 0.5], strict=True))
    assert crossover(dips, rival).before == LENGTHS[2]
    dips[LENGTHS[-1]] = 1.0  # equal is not below
    assert crossover(dips, rival).length is None


def test_nothing_in_common():
    assert crossover({64: 1.0}, {128: 1.0}) is None


@given(at=st.integers(2, 60000))
def test_counts_cross_at_the_exact_length(at):
    found = crossover_of_counts(lambda n: n, lambda n: n * n / (at - 0.5), longest=65536)
    assert (found.length, found.before, found.after) == (at, at - 1, at)


def test_counts_that_never_cross_or_always_have():
    assert crossover_of_counts(lambda n: n, lambda n: n + 1, longest=100).before is None
    assert crossover_of_counts(lambda n: n + 1, lambda n: n, longest=100).length is None


def test_what_falls_below_last_is_what_counts_of_counts_too():
    """Below between 2 and 8, above up to 40, below from 41 on."""
    cost = {n: 1.0 if 2 < n < 8 or n > 40 else 3.0 for n in range(1, 101)}
    found = crossover_of_counts(cost.__getitem__, lambda _: 2.0, longest=100)
    assert (found.length, found.before, found.longest) == (41, 40, 100)
    asked = []
    assert crossover_of_counts(lambda n: asked.append(n) or n, lambda _: 50.0, longest=100).length is None
    assert asked == [100]  # counts take time: where the last one is lost no other is asked for


def test_one_wording_for_cells_and_sentences():
    seconds = {
        "attention": {64: 1.0, 128: 4.0, 256: 16.0},
        "quick": {64: 0.5, 128: 1.0, 256: 2.0},
        "later": {64: 2.0, 128: 4.0 / 2**0.5, 256: 4.0},
        "slow": {64: 2.0, 128: 8.0},
    }
    found = {name: crossover(times, seconds["attention"]) for name, times in seconds.items()}
    assert [found[name].short() for name in ("quick", "later", "slow")] == ["from 64", "from 102", "> 128"]
    assert crossover_of_counts(float, lambda n: n + 1.0, longest=9).short() == "always"
    assert crossover_sentence(seconds, rival="attention") == (
        "Against attention, quick is faster from length 64 on, the shortest (8.0 times at 256); later is faster from "
        "length 102 on (4.0 times at 256); slow is not faster up to length 128."
    )
    assert "attention was not measured" in crossover_sentence({"quick": {64: 1.0}}, rival="attention")
    assert "Nothing" in crossover_sentence({"attention": {64: 1.0}}, rival="attention")
