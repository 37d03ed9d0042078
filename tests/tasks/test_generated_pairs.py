"""Copy, reverse, sort and number words: the answers are right, by other means than their own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Copy, NumberWords, Reverse, Sort
from globalconv.tasks.number_words import value_of, words_of
from globalconv.tasks.sequence_to_sequence import (
    END,
    FIRST_SYMBOL,
    PADDING,
    START,
    pair_batch,
    tally_exact,
    until_end,
)

rows = st.lists(
    st.lists(st.integers(FIRST_SYMBOL, 30), min_size=1, max_size=9).map(lambda row: np.array(row)),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("task", [Copy, Reverse, Sort])
def test_answers(task, seed: int):
    made = task(10, 6, min_length=3, num_validation=10, num_test=10)
    batch = made.train_batch(1, seed=seed, batch_size=50)
    seen = set()
    for source, target in zip(batch.source.tolist(), batch.targets.tolist(), strict=True):
        source, target = until_end(source), until_end(target)
        order = {Copy: source, Reverse: list(reversed(source)), Sort: sorted(source)}[task]
        assert target == order
        assert {FIRST_SYMBOL <= token < FIRST_SYMBOL + 6 for token in source} == {True}
        seen.add(len(source))
    assert seen == set(range(3, 11))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (10, "ten"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (100, "one hundred"),
        (305, "three hundred five"),
        (1000, "one thousand"),
        (70_013, "seventy thousand thirteen"),
        (1_000_000, "one million"),
        (12_000_300, "twelve million three hundred"),
        (
            999_999_999,
            "nine hundred ninety nine million nine hundred ninety nine thousand nine hundred ninety nine",
        ),
    ],
)
def test_number_words(number: int, words: str):
    assert words_of(number) == words.split()
    assert value_of(words.split()) == number


@given(number=st.integers(0, 10**9 - 1))
def test_words_say_their_number(number: int):
    assert value_of(words_of(number)) == number


def test_number_words_become_their_digits(seed: int):
    task = NumberWords(num_validation=10, num_test=10)
    batch = task.train_batch(0, seed=seed, batch_size=100)
    counts = set()
    for source, target in zip(batch.source, batch.targets, strict=True):
        words = task.readable(torch.tensor(until_end(source.tolist()))).split()
        digits = task.readable(torch.tensor(until_end(target.tolist()))).replace(" ", "")
        assert words_of(int(digits)) == words
        assert str(int(digits)) == digits
        counts.add(len(digits))
    assert counts == set(range(1, 10))


def test_baselines_are_far_from_the_top():
    assert max(baseline.value for baseline in Copy().baselines()) == 0.0
    assert max(baseline.value for baseline in Sort().baselines()) < 0.01
    (guess, word_by_word) = NumberWords().baselines()
    assert guess.guess
    assert not word_by_word.guess
    assert guess.value < 0.02 < word_by_word.value < 0.5


@given(sources=rows, seed=st.integers(0, 99))
def test_a_batch_of_pairs_holds_its_pairs(sources, seed: int):
    targets = [row[: 1 + seed % len(row)] for row in sources]
    batch = pair_batch(sources, targets)
    longest = max(map(len, sources)) + 1
    lengths = [longest] * len(sources) if batch.source_lengths is None else batch.source_lengths.tolist()
    assert (batch.source_lengths is None) == (len({len(row) for row in sources}) == 1)
    assert batch.source.shape[1] == longest
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        assert batch.source[row].tolist() == [*source, END, *[PADDING] * (longest - len(source) - 1)]
        assert lengths[row] == len(source) + 1
        n = len(target) + 1
        assert batch.targets[row, :n].tolist() == [*target, END]
        assert batch.inputs[row, :n].tolist() == [START, *target]
        assert batch.mask[row].tolist() == [True] * n + [False] * (batch.mask.shape[1] - n)


def test_only_what_is_right_to_the_end_is_exact():
    targets = [np.array([5, 6, 7]), np.array([8])]
    batch = pair_batch(targets, targets)
    right = [[5, 6, 7, END], [8, END, PADDING, PADDING]]
    for written, exact, places in (
        (right, 2, 6),
        ([[5, 6, 7, END, 9], [8, END, 9, 9, 9]], 2, 6),  # what stands behind the end was not said
        ([[5, 6, 7, 8], right[1]], 1, 5),
        ([[5, 6, 7], [8, END, PADDING]], 1, 5),
        ([[6, 5, 7, END], [8, 8, END, PADDING]], 0, 3),
        ([[], []], 0, 0),
    ):
        tallies = tally_exact(torch.tensor(written, dtype=torch.int64), batch)
        assert tallies == {"exact_match": (exact, 2.0), "token_accuracy": (places, 6.0)}


@pytest.mark.parametrize(
    "build",
    [
        lambda: Copy(0),
        lambda: Copy(4, min_length=5),
        lambda: Copy(4, 1),
        lambda: Copy(4, num_test=0),
        lambda: Copy(2, 2),
        lambda: NumberWords(10),
        lambda: NumberWords(0),
        lambda: NumberWords(1),
    ],
)
def test_impossible_sizes_are_refused(build):
    with pytest.raises(InputError):
        build()


@pytest.mark.parametrize("task", [Copy, Reverse, Sort])
@pytest.mark.parametrize(
    ("num_symbols", "num_validation", "num_test"), [(20, 256, 1024), (2, 50, 9), (3, 1, 2)]
)
def test_too_few_sources_name_a_length_that_has_enough(
    task, num_symbols: int, num_validation: int, num_test: int
):
    sizes = {"num_validation": num_validation, "num_test": num_test}
    with pytest.raises(InputError, match=r"use --length \d+ or more\.$") as error:
        task(1, num_symbols, **sizes)
    assert "num_" not in str(error.value)
    task(int(str(error.value).split("--length ")[1].split()[0]), num_symbols, **sizes)


def test_too_few_numbers_name_their_digits():
    with pytest.raises(InputError, match="use a larger max_digits, or fewer"):
        NumberWords(1)
