"""Multi-query associative recall: what a sequence holds, that look-up solves it, and how gaps are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Batch, Recall
from globalconv.tasks.recall import _distinct

SIGMAS = 6.0
"""A fair draw fails a bound of six standard deviations less than once in 10 ** 8 runs."""


@st.composite
def recalls(draw: st.DrawFn) -> Recall:
    num_pairs = draw(st.integers(1, 6))
    return Recall(
        draw(st.integers(2 * num_pairs + 2, 40)),
        draw(st.integers(4 * num_pairs, 50)),
        num_pairs,
        power_a=draw(st.sampled_from([0.01, 0.5, 1.0])),
        filler=draw(st.sampled_from(["blank", "random"])),
        num_validation=5,
        num_test=6,
    )


@given(task=recalls(), seed=st.integers(0, 2**31))
def test_a_sequence_is_pairs_and_then_every_key_once(task: Recall, seed: int):
    pairs, half = int(str(task.options["num_pairs"])), task.signature.num_outputs // 2
    batch = task.train_batch(2, seed=seed, batch_size=7)
    assert batch.mask is not None
    for tokens, targets, mask in zip(
        batch.inputs.tolist(), batch.targets.tolist(), batch.mask.tolist(), strict=True
    ):
        keys, values = tokens[: 2 * pairs : 2], tokens[1 : 2 * pairs : 2]
        assert len(set(keys)) == len(set(values)) == pairs
        assert all(1 <= key < half for key in keys)
        assert all(half <= value < task.signature.num_outputs for value in values)
        asked = [position for position, due in enumerate(mask) if due]
        assert sorted(tokens[position] for position in asked) == sorted(keys)
        assert all(position >= 2 * pairs and position % 2 == 0 for position in asked)
        answers = dict(zip(keys, values, strict=True))
        assert [targets[position] for position in asked] == [answers[tokens[position]] for position in asked]
        if task.options["filler"] == "blank":
            others = [t for t, due in zip(tokens[2 * pairs :], mask[2 * pairs :], strict=True) if not due]
            assert set(others) <= {0}


def test_every_key_and_every_value_is_used(seed: int):
    batch = Recall(vocabulary=21).train_batch(0, seed=seed, batch_size=3000)
    assert set(batch.inputs[:, 0:8:2].flatten().tolist()) == set(range(1, 10))
    assert set(batch.inputs[:, 1:8:2].flatten().tolist()) == set(range(10, 21))


def look_up(batch: Batch, vocabulary: int) -> torch.Tensor:
    """Logits of an oracle: at every position, the token that followed the first token equal to this one."""
    logits = torch.zeros((*batch.inputs.shape, vocabulary))
    for row, tokens in enumerate(batch.inputs.tolist()):
        for position, token in enumerate(tokens[1:], start=1):
            if token in tokens[:position]:
                logits[row, position, tokens[tokens.index(token) + 1]] = 1.0
    return logits


@pytest.mark.parametrize("filler", ["blank", "random"])
def test_looking_up_solves_it(filler: str):
    task = Recall(filler=filler, num_validation=50, num_test=60)
    for split in ("validation", "test"):
        for batch in task.evaluation_batches(split, batch_size=32):
            right, count = task.tally(look_up(batch, 64), batch)["accuracy"]
            assert right == count == 4 * len(batch.inputs)


def test_baselines_are_of_the_test_split():
    task = Recall(num_test=50, num_validation=7)
    rows = [
        (batch.inputs[row].tolist(), batch.targets[row][batch.mask[row]].tolist())
        for batch in task.evaluation_batches("test", batch_size=16)
        for row in range(len(batch.inputs))
    ]
    guess = np.mean([tokens[1:8:2].count(answer) / 4 for tokens, answers in rows for answer in answers])
    constant, in_context = task.baselines()
    assert in_context.value == guess == 0.25
    shares = {np.mean([answers.count(v) / 4 for _, answers in rows]) for v in range(32, 64)}
    assert any(constant.value == pytest.approx(share) for share in shares)
    assert constant.guess
    assert in_context.guess


@pytest.mark.parametrize("power_a", [0.01, 1.0])
def test_gaps_follow_the_power_law(power_a: float, seed: int):
    num = 40_000
    batch = Recall(power_a=power_a).train_batch(0, seed=seed, batch_size=num)
    first_key_asked = (batch.inputs[:, 8:] == batch.inputs[:, :1]).int().argmax(dim=1) // 2
    share = torch.bincount(first_key_asked, minlength=12).numpy() / num
    weights = np.arange(1, 13) ** (power_a - 1)
    expected = weights / weights.sum()
    assert np.all(np.abs(share - expected) < SIGMAS * np.sqrt(expected / num))


def test_draws_without_replacement_are_fair(seed: int):
    num = 60_000
    drawn = _distinct(np.random.default_rng(seed), num, 4, 3)
    orders, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(orders) == 24
    assert all(len(set(order)) == 3 for order in orders.tolist())
    assert np.all(np.abs(counts - num / 24) < SIGMAS * np.sqrt(num / 24))


@given(count=st.integers(1, 20), spare=st.integers(0, 5000), seed=st.integers(0, 2**31))
def test_draws_are_distinct_and_in_range(count: int, spare: int, seed: int):
    drawn = _distinct(np.random.default_rng(seed), 8, count + spare, count)
    assert drawn.min() >= 0
    assert drawn.max() < count + spare
    assert all(len(set(row)) == count for row in drawn.tolist())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"vocabulary": 9}, "a vocabulary of 9 has 3 keys .* fewer than the 4 pairs: use at least 10"),
        ({"vocabulary": -3}, "has 0 keys"),
        ({"length": 15}, "a length of 15 is too short for 4 pairs .* use at least 16"),
        ({"num_pairs": 0}, "use at least 1"),
        ({"num_pairs": 9}, "a length of 32 is too short .* use at least 36"),
        ({"filler": "blanks"}, "unknown filler 'blanks'. Did you mean 'blank'"),
        ({"num_test": 0}, "num_test must be at least 1"),
    ],
)
def test_impossible_sizes(options: dict[str, int], words: str):
    with pytest.raises(InputError, match=words):
        Recall(**options)


def test_the_least_sizes_it_names_are_enough():
    Recall(vocabulary=10, length=16, num_pairs=4)


def test_settings_change_the_digest():
    settings = [
        {},
        {"length": 34},
        {"power_a": 0.5},
        {"filler": "random"},
        {"num_test": 7},
        {"vocabulary": 62},
    ]
    assert len({Recall(**setting).digest for setting in settings}) == len(settings)
