"""The n-gram baseline against a dictionary, and as a probability."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.tasks.ngram import ngram_bits

ALPHABETS = st.sampled_from([[0, 255], [7, 8, 9], [0, 1, 254, 255, 97]])


def brute_force(train: bytes, windows: list[bytes], max_context: int) -> list[list[float]]:
    """Witten-Bell by recursion over contexts, one byte at a time."""
    followers: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for order in range(max_context + 1):
        for end in range(order, len(train)):
            followers[train[end - order : end]][train[end]] += 1

    def probability(context: bytes, byte: int) -> float:
        shorter = probability(context[1:], byte) if context else 1 / 256
        seen = followers.get(context)
        if seen is None:
            return shorter
        return (seen[byte] + len(seen) * shorter) / (seen.total() + len(seen))

    return [
        [
            -sum(
                np.log2(probability(window[max(0, at - order) : at], window[at]))
                for at in range(1, len(window))
            )
            / (len(window) - 1)
            for window in windows
        ]
        for order in range(max_context + 1)
    ]


@given(data=st.data(), alphabet=ALPHABETS, max_context=st.integers(0, 7))
def test_equals_a_dictionary(data: st.DataObject, alphabet: list[int], max_context: int):
    letters = st.sampled_from(alphabet)
    train = bytes(data.draw(st.lists(letters, min_size=1, max_size=60)))
    length = data.draw(st.integers(1, 10))
    # 99 was never seen in training.
    letters = st.sampled_from([*alphabet, 99])
    windows = [
        bytes(data.draw(st.lists(letters, min_size=length + 1, max_size=length + 1)))
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    measured = ngram_bits(
        np.frombuffer(train, np.uint8),
        np.array([list(window) for window in windows], np.uint8),
        max_context=max_context,
    )
    np.testing.assert_allclose(measured, brute_force(train, windows, max_context), rtol=1e-12)


def test_probabilities_add_up_to_one(seed: int):
    rng = np.random.default_rng(seed)
    train = rng.integers(0, 4, size=500, dtype=np.uint8)
    opening = rng.integers(0, 5, size=6, dtype=np.uint8)

    endings = np.array([np.append(opening, np.uint8(byte)) for byte in range(256)])
    before = ngram_bits(train, opening[None], max_context=5) * (len(opening) - 1)
    last_byte_bits = ngram_bits(train, endings, max_context=5) * len(opening) - before
    np.testing.assert_allclose((2.0**-last_byte_bits).sum(axis=1), 1.0, rtol=1e-9)


def test_a_longer_context_helps_where_it_says_something(seed: int):
    start = np.random.default_rng(seed).integers(3)
    text = np.resize(np.array([1, 1, 2, 1, 3], np.uint8), 4000)
    bits = ngram_bits(text, text[start : start + 200][None], max_context=5)[:, 0]
    assert np.all(np.diff(bits[:4]) < 0)
    assert bits[3] < 0.1


def test_only_the_window_is_context():
    """What precedes a window in the text must not help: the first byte's context is empty."""
    train = np.resize(np.array([1, 2, 3, 4], np.uint8), 400)
    one_byte_ahead = ngram_bits(train, train[None, 1:3], max_context=3)[:, 0]
    assert one_byte_ahead[1] == pytest.approx(one_byte_ahead[3])
