"""Holding out class by class, and the order of training examples."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from globalconv.tasks.epochs import epoch_indices
from globalconv.tasks.hold_out import hold_out, three_ways

CLASS_SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 0)


def shuffled_classes(sizes: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(sizes=CLASS_SIZES, share=st.floats(0.01, 0.9), seed=st.integers(0, 2**31))
@example(sizes=[2, 3, 1], share=0.9, seed=0)
def test_every_class_gives_its_share(sizes: list[int], share: float, seed: int):
    classes = shuffled_classes(sizes, seed)
    kept, held = hold_out(classes, share)
    assert np.array_equal(np.sort(np.r_[kept, held]), np.arange(len(classes)))
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(held) > 0)
    for name, size in enumerate(sizes):
        num_held = np.sum(classes[held] == name)
        if size < 2:
            assert num_held == 0
        else:
            assert 1 <= num_held <= size - 1
            assert abs(num_held - share * size) <= 1 + 1e-9


@given(sizes=CLASS_SIZES, seed=st.integers(0, 2**31))
def test_three_ways(sizes: list[int], seed: int):
    classes = shuffled_classes(sizes, seed)
    parts = three_ways(classes)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(classes)))
    for name, size in enumerate(sizes):
        train, validation, test = (np.sum(classes[part] == name) for part in parts)
        assert train >= min(size, 1)
        assert test >= (size >= 2)
        assert validation >= (size >= 3)
        if size >= 10:
            assert abs(test - 0.2 * size) <= 1
            assert abs(validation - 0.2 * size) <= 1


@pytest.mark.parametrize("num_groups", [None, 2000])
def test_no_more_is_held_out_than_tells_anything(num_groups: int | None):
    classes = np.random.default_rng(7).integers(4, size=40_000)
    groups = None if num_groups is None else np.arange(40_000) % num_groups
    train, validation, test = three_ways(classes, groups)
    assert len(validation) == pytest.approx(1000, rel=0.05)
    assert len(test) == pytest.approx(5000, rel=0.05)
    assert len(train) + len(validation) + len(test) == 40_000


@given(
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=40),
    kinds=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_no_group_is_on_two_sides(sizes: list[int], kinds: int, seed: int):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    classes = np.random.default_rng(seed + 1).integers(kinds, size=len(groups))
    parts = three_ways(classes, groups)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(groups)))
    assert all(len(part) for part in parts)
    members = [set(groups[part]) for part in parts]
    assert not members[0] & members[1] | members[0] & members[2] | members[1] & members[2]


def test_groups_of_one_class_each_are_held_out_of_every_class(seed: int):
    """As patients are, who are ill or not: 60, 20 and 20 % of either, as nearly as whole patients allow."""
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(40), 10))
    classes = (groups % 4 == 0).astype(np.int64)
    for part, share in zip(three_ways(classes, groups), (0.6, 0.2, 0.2), strict=True):
        for number in (0, 1):
            assert abs(np.sum(classes[part] == number) / np.sum(classes == number) - share) < 0.06


def test_examples_are_chosen_at_random():
    """Files are often sorted; the held-out examples must not be the first of each class."""
    _, held = hold_out(np.zeros(1000, np.int64), 0.2)
    assert 400 < held.mean() < 600
    assert len(np.unique(np.diff(held))) > 5


@given(num_examples=st.integers(1, 40), batch_size=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_every_example_comes_once_per_epoch(num_examples: int, batch_size: int, seed: int):
    num_steps = -(-3 * num_examples // batch_size)
    stream = np.concatenate(
        [
            epoch_indices(step, num_examples=num_examples, seed=seed, batch_size=batch_size).numpy()
            for step in range(num_steps)
        ]
    )
    assert len(stream) == num_steps * batch_size
    for epoch in range(3):
        one = stream[epoch * num_examples : (epoch + 1) * num_examples]
        assert np.array_equal(np.sort(one), np.arange(num_examples))


def test_epochs_and_seeds_have_their_own_orders():
    orders = [
        tuple(epoch_indices(step, num_examples=50, seed=seed, batch_size=50).tolist())
        for step in range(3)
        for seed in range(3)
    ]
    assert len(set(orders)) == 9
