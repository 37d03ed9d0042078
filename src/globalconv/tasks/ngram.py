"""n-gram models of bytes: the baseline of language modelling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VOCABULARY = 256


def ngram_bits(
    train: NDArray[np.uint8], windows: NDArray[np.uint8], *, max_context: int
) -> NDArray[np.float64]:
    """Bits per byte of n-gram models with 0, 1, ... ``max_context`` bytes of context, on each window.

    Returns (max_context + 1, num_windows).

    Interpolated by Witten and Bell (IEEE Trans. Inf. Theory 37, 1991, method C): with N the count of the
    context c in ``train``, T the number of different bytes seen after it and c' the context without its
    oldest byte, P(w | c) = (N(c, w) + T P(w | c')) / (N + T), and P(w | c') for a context never seen.
    The empty context backs off to the uniform distribution.

    ``windows`` (num_windows, length + 1): all bytes except the first of each window are predicted from bytes of
    the same window, as a network does; near its beginning the context is shorter.
    ``max_context`` <= 7.
    """
    assert 0 <= max_context <= 7, "contexts and the byte after them are packed into 64 bits"
    targets = windows[:, 1:]
    probability = np.full(targets.shape, 1.0 / VOCABULARY)
    bits = []
    for context in range(max_context + 1):
        # The context of target column j is the j + 1 bytes before it.
        if context <= targets.shape[1] and context < len(train):
            first = max(0, context - 1)
            counts = _count(train, context)
            grams = _pack(windows[:, first + 1 - context :], context + 1)
            probability[:, first:] = _sharpen(probability[:, first:], counts, grams)
        bits.append(-np.log2(probability).mean(axis=1))
    return np.array(bits)


@dataclass(frozen=True)
class _Counts:
    """Counts for one context length. Both arrays of keys are sorted; a gram is a context and the next byte."""

    grams: NDArray[np.uint64]
    gram_counts: NDArray[np.int64]
    contexts: NDArray[np.uint64]
    totals: NDArray[np.int64]
    num_followers: NDArray[np.int64]


def _pack(text: NDArray[np.uint8], size: int) -> NDArray[np.uint64]:
    """All substrings of ``size`` bytes along the last axis, each as one integer, big-endian."""
    length = text.shape[-1] - size + 1
    keys = np.zeros((*text.shape[:-1], length), dtype=np.uint64)
    for offset in range(size):
        keys = (keys << np.uint64(8)) | text[..., offset : offset + length]
    return keys


def _count(train: NDArray[np.uint8], context: int) -> _Counts:
    grams, gram_counts = np.unique(_pack(train, context + 1), return_counts=True)
    prefixes = grams >> np.uint64(8)
    starts = np.flatnonzero(np.r_[True, prefixes[1:] != prefixes[:-1]])
    totals = np.add.reduceat(gram_counts, starts)
    return _Counts(grams, gram_counts, prefixes[starts], totals, np.diff(np.r_[starts, len(grams)]))


def _sharpen(shorter: NDArray[np.float64], counts: _Counts, grams: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Probabilities with one more byte of context, from those with one byte less."""
    contexts = grams >> np.uint64(8)
    total = _look_up(counts.contexts, counts.totals, contexts)
    followers = _look_up(counts.contexts, counts.num_followers, contexts)
    count = _look_up(counts.grams, counts.gram_counts, grams)
    return np.where(total > 0, (count + followers * shorter) / np.maximum(total + followers, 1), shorter)


def _look_up(
    keys: NDArray[np.uint64], values: NDArray[np.int64], queries: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """The values of ``queries`` among the sorted ``keys``; 0 for a missing key."""
    index = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[index] == queries, values[index], 0)
