"""Text: windows, the split of recall bytes from the others, and what the scores mean."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Text
from globalconv.tasks.text import even_windows, recall_mask
from tests.tasks.examples import write_prose, write_records


def brute_force_recall(window: list[int], context: int) -> list[bool]:
    ends = range(len(window))
    return [
        end >= context - 1
        and any(
            window[earlier - context + 1 : earlier + 1] == window[end - context + 1 : end + 1]
            for earlier in range(context - 1, end)
        )
        for end in ends
    ]


@given(
    rows=st.integers(0, 30).flatmap(
        lambda length: st.lists(
            st.lists(st.sampled_from([0, 1, 16, 128]), min_size=length, max_size=length),
            min_size=1,
            max_size=3,
        )
    ),
    context=st.integers(1, 7),
)
def test_recall_bytes_equal_brute_force(rows: list[list[int]], context: int):
    inputs = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), len(rows[0]))
    expected = [brute_force_recall(row, context) for row in rows]
    assert recall_mask(inputs, context).tolist() == expected


def test_whether_a_byte_is_for_recall_does_not_depend_on_it():
    one, other = (torch.tensor([list(b"abcd1 abcd" + end)])[:, :-1] for end in (b"1", b"2"))
    assert recall_mask(one, 4).tolist() == recall_mask(other, 4).tolist()
    assert recall_mask(one, 4)[0, -1]


@given(size=st.integers(1, 40), limit=st.integers(1, 12), spare=st.integers(0, 500))
def test_held_out_windows_are_fixed_even_and_apart(size: int, limit: int, spare: int):
    text = np.arange(size + spare, dtype=np.int64)
    windows = even_windows(text, size, limit)
    assert len(windows) == min(limit, len(text) // size)
    assert np.array_equal(windows, windows[:, :1] + np.arange(size))
    starts = windows[:, 0]
    gaps = np.diff(starts)
    assert np.all(gaps >= size)
    assert starts[0] == 0
    if len(starts) > 1:
        assert starts[-1] == len(text) - size
        assert gaps.max() - gaps.min() <= 1


def test_training_windows_start_anywhere(tmp_path: Path, seed: int):
    length = 16
    task = Text(str(write_records(tmp_path / "records.txt", 0, 100)), length)
    content = (tmp_path / "records.txt").read_bytes()
    trained = len(content) * 18 // 20
    starts = set()
    for step in range(400):
        batch = task.train_batch(step, seed=seed, batch_size=32)
        for row, target in zip(batch.inputs, batch.targets, strict=True):
            start = content.find(bytes(row.tolist() + target[-1:].tolist()))
            assert start >= 0
            starts.add(start)
    assert starts == set(range(trained - length))


def test_bits_are_split_between_recall_bytes_and_the_others(tmp_path: Path, seed: int):
    task = Text(str(write_prose(tmp_path / "prose.txt", np.random.default_rng(seed), 30_000)), 40)
    generator = torch.Generator().manual_seed(seed)
    for batch in task.evaluation_batches("test", batch_size=8):
        logits = torch.randn((*batch.targets.shape, 256), generator=generator)
        tally = task.tally(logits, batch)
        surprise = -logits.log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0] / math.log(2)
        mask = torch.tensor([brute_force_recall(row.tolist(), 4) for row in batch.inputs])
        assert 0 < mask.sum() < mask.numel()
        assert tally["bits_recall"] == (pytest.approx(surprise[mask].sum().item(), rel=1e-4), mask.sum())
        assert tally["bits_other"] == (pytest.approx(surprise[~mask].sum().item(), rel=1e-4), (~mask).sum())
        assert tally["recall_fraction"] == (mask.sum(), mask.numel())
        total, count = tally["bits_per_byte"]
        assert total / count == pytest.approx(task.loss(logits, batch).item() / math.log(2), rel=1e-5)
        right = (logits.argmax(-1) == batch.targets).sum()
        assert tally["accuracy"] == (right, mask.numel())


def test_a_model_that_looks_up_does_better_on_recall_bytes(tmp_path: Path, seed: int):
    task = Text(str(write_prose(tmp_path / "prose.txt", np.random.default_rng(seed), 30_000)), 200)
    sums = np.zeros(4)
    for batch in task.evaluation_batches("test", batch_size=8):
        logits = torch.zeros((*batch.targets.shape, 256))
        for row, window in enumerate(batch.inputs.tolist()):
            for end in range(3, len(window)):
                for earlier in range(3, end):
                    if window[earlier - 3 : earlier + 1] == window[end - 3 : end + 1]:
                        logits[row, end, window[earlier + 1]] = 4.0
        tally = task.tally(logits, batch)
        sums += [*tally["bits_recall"], *tally["bits_other"]]
    assert sums[0] / sums[1] < 6
    assert sums[2] / sums[3] == pytest.approx(8)


def test_the_byte_frequency_baseline_is_of_training_counts_on_the_test_windows(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    path = tmp_path / "drift.txt"
    # The share of "a" grows along the file, so that each split has another entropy.
    path.write_bytes(bytes(np.where(rng.random(20_000) < np.linspace(0.05, 0.95, 20_000), 97, 98).tolist()))
    task = Text(str(path), 50)
    train = path.read_bytes()[:18_000]
    share = {byte: (train.count(byte) + 2 / 256) / (len(train) + 2) for byte in (97, 98)}
    targets = torch.cat([b.targets for b in task.evaluation_batches("test", batch_size=9)])
    expected = -sum(math.log2(share[byte]) for byte in targets.flatten().tolist()) / targets.numel()
    baselines = {
        baseline.name.removesuffix(" (best on validation)"): baseline.value for baseline in task.baselines()
    }
    assert baselines["byte frequencies"] == pytest.approx(expected, rel=1e-9)
    assert len(baselines) in (3, 4)
    assert sum(baseline.name.endswith("(best on validation)") for baseline in task.baselines()) == 1


def test_the_best_order_is_chosen_on_validation(tmp_path: Path):
    """Validation goes on as training did, where context helps; in the test, context misleads."""
    path = tmp_path / "aab.txt"
    path.write_bytes(b"aab" * 6333 + b"a" * 1001)
    baselines = Text(str(path), 40).baselines()
    (best,) = (baseline for baseline in baselines if baseline.name.endswith("(best on validation)"))
    assert best.name.startswith("n-gram")
    (frequencies,) = (baseline for baseline in baselines if baseline.name == "byte frequencies")
    assert frequencies == baselines[-1]
    assert frequencies.value < best.value


def test_the_default_is_the_standard_library():
    task = Text()
    assert task.name == "text"
    assert task.notices == ()
    assert task.options["path"] is None
    batch = next(task.evaluation_batches("test", batch_size=256))
    assert len(batch.inputs) == 256
    assert len(next(task.evaluation_batches("validation", batch_size=256)).inputs) == 64
    text = bytes(batch.inputs.flatten().tolist())
    assert b"def " in text
    assert b"import " in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"length": 0}, "length"),
        ({"max_test_windows": 0}, "max_test_windows"),
        ({"recall_context": 8}, "1 to 7"),
        ({"recall_context": 0}, "1 to 7"),
        ({"max_bytes": 100}, "length of at most 4"),
    ],
)
def test_impossible_options(options: dict[str, int], words: str):
    with pytest.raises(InputError, match=words):
        Text(**options)


def test_few_windows_are_noticed(tmp_path: Path):
    path = write_records(tmp_path / "records.txt", 0, 1000)
    (validation, test) = Text(str(path), 99).notices
    assert "validation split holds only 4 windows" in validation
    assert "test split holds only 4 windows" in test
    assert Text(str(path), 19).notices == ()
    assert Text(str(path), 99, max_validation_windows=4, max_test_windows=4).notices == ()
