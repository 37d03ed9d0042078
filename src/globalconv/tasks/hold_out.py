"""Hold examples out, class by class or group by group, always the same ones."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 20
"""Splits do not depend on a run's seed: every run of every study is scored on the same examples."""
TIE = 1e-9
HeldOut = Literal["validation", "test"]
MOST_HELD_OUT: dict[HeldOut, int] = {"validation": 1000, "test": 5000}
"""The most examples that are held out. 1,000 suffice to choose between checkpoints; a score on 5,000 has a standard
error of at most 0.007. More would only cost training data and time."""

Indices = NDArray[np.int64]


def hold_out(
    classes: Indices, share: float, groups: Indices | None = None, *, left: int = 1
) -> tuple[Indices, Indices]:
    """Indices (kept, held out), each ascending, with about ``share`` of every class held out.

    A class of two or more examples has at least one on each side; a class of one is kept.
    ``classes``: (num_examples,) integers from 0. With ``groups`` (num_examples,), whole groups are held out,
    as near to this share as possible: at least one group, and at least ``left`` groups are kept.
    """
    held = (
        _whole_groups(classes, share, groups, left) if groups is not None else _of_every_class(classes, share)
    )
    return np.flatnonzero(~held), np.flatnonzero(held)


def three_ways(classes: Indices, groups: Indices | None = None) -> tuple[Indices, Indices, Indices]:
    """Indices (train, validation, test): 60, 20 and 20 % of every class, if its size allows.

    At most about MOST_HELD_OUT examples are held out, so that training keeps the rest of large data. Classes of three
    or more examples are in all three splits, classes of two in train and test, classes of one in train. With
    ``groups``, of which there must be at least three, no group is in two splits.
    """
    rest, test = hold_out(classes, held_out_share(0.2, len(classes), "test"), groups, left=2)
    share = held_out_share(0.25, len(rest), "validation")
    train, validation = hold_out(classes[rest], share, None if groups is None else groups[rest])
    return rest[train], rest[validation], test


def held_out_share(share: float, num_examples: int, part: HeldOut) -> float:
    """``share``, or less if that would hold out more than MOST_HELD_OUT examples."""
    return min(share, MOST_HELD_OUT[part] / num_examples)


def _of_every_class(classes: Indices, share: float) -> NDArray[np.bool_]:
    chance = np.random.default_rng(SPLIT_SEED).random(len(classes))
    order = np.lexsort((chance, classes))
    sizes = np.bincount(classes)
    rank = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    num_held = np.clip(np.rint(share * sizes), np.minimum(1, sizes - 1), sizes - 1)
    held = np.empty(len(classes), dtype=bool)
    held[order] = rank < num_held[classes[order]]
    return held


def _whole_groups(classes: Indices, share: float, groups: Indices, left: int) -> NDArray[np.bool_]:
    """In random order, hold out each group that brings the classes' shares nearer to ``share``.

    scikit-learn's StratifiedGroupKFold is not used, so that splits do not depend on its version.
    """
    names, members = np.unique(groups, return_inverse=True)
    assert len(names) > left, "there are not enough groups to hold one out"
    counts = np.zeros((len(names), classes.max() + 1))
    np.add.at(counts, (members, classes), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))

    def distance(reached: NDArray[np.float64]) -> float:
        present = counts.any(axis=0)
        return float(np.square(reached - share)[present].sum())

    chosen: list[int] = []
    reached = np.zeros(counts.shape[1])
    for group in order:
        if distance(reached + shares[group]) <= distance(reached) + TIE and len(chosen) < len(names) - left:
            chosen.append(int(group))
            reached += shares[group]
    chosen = chosen or [min(order, key=lambda group: distance(shares[group]))]
    return np.isin(members, chosen)
