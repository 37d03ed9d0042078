"""Hold examples out, class by class, the same ones for ever."""

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 20
"""Splits do not depend on a run's seed: every run of every study is judged on the same examples."""


def hold_out(classes: NDArray[np.int64], share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (kept, held out), each ascending, with about ``share`` of every class held out.

    A class of two or more examples gives at least one and keeps at least one; a class of one keeps it.
    ``classes``: (num_examples,) integers from 0.
    """
    chance = np.random.default_rng(SPLIT_SEED).random(len(classes))
    order = np.lexsort((chance, classes))
    sizes = np.bincount(classes)
    rank = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    num_held = np.clip(np.rint(share * sizes), np.minimum(1, sizes - 1), sizes - 1)
    held = rank < num_held[classes[order]]
    return np.sort(order[~held]), np.sort(order[held])


def three_ways(
    classes: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices (train, validation, test): 60, 20 and 20 % of every class, as far as its size allows.

    Classes of three or more examples are in all three splits, of two in train and test, of one in train.
    """
    rest, test = hold_out(classes, 0.2)
    train, validation = hold_out(classes[rest], 0.25)
    return rest[train], rest[validation], test
