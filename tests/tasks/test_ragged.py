"""Sequences of different lengths: what stands behind their ends changes nothing, wherever the lengths come from."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from globalconv.errors import InputError
from globalconv.tasks import Batch, Table

NUM, LONGEST = 60, 10
CLASSES = np.arange(NUM) % 3


def lengths_and_values(seed: int, channels: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, LONGEST + 1, size=NUM)
    lengths[0] = LONGEST
    return lengths, rng.normal(4.0, 3.0, size=(NUM, LONGEST, channels))


def padded(values: np.ndarray, lengths: np.ndarray, padding: Any) -> np.ndarray:
    real = np.arange(values.shape[1]) < lengths[:, None]
    return np.where(real[:, :, None], values, padding)


def save(path: Path, **arrays: Any) -> Table:
    np.savez(path, **arrays)
    return Table(str(path))


def same(one: Table, other: Table) -> None:
    assert one.digest == other.digest
    for mine, its in zip(batches(one), batches(other), strict=True):
        assert torch.equal(mine.inputs, its.inputs)
        assert mine.lengths is not None
        assert its.lengths is not None
        assert torch.equal(mine.lengths, its.lengths)
    assert one.baselines() == other.baselines()


def batches(task: Table) -> list[Batch]:
    return [
        task.train_batch(2, seed=0, batch_size=16),
        *(
            batch
            for split in ("validation", "test")
            for batch in task.evaluation_batches(split, batch_size=7)
        ),
    ]


def test_the_padding_changes_nothing(tmp_path: Path, seed: int):
    lengths, values = lengths_and_values(seed)
    zeros = save(tmp_path / "zeros.npz", X=padded(values, lengths, 0), y=CLASSES, lengths=lengths)
    for name, padding in (("nan", np.nan), ("large", 1e9), ("infinite", -np.inf)):
        same(
            zeros,
            save(tmp_path / f"{name}.npz", X=padded(values, lengths, padding), y=CLASSES, lengths=lengths),
        )
    wider = np.pad(padded(values, lengths, 7), ((0, 0), (0, 5), (0, 0)), constant_values=9)
    same(zeros, save(tmp_path / "wider.npz", X=wider, y=CLASSES, lengths=lengths))
    # Lengths as floating point, as pandas gives them, and none where NaN tells the ends.
    same(
        zeros,
        save(tmp_path / "f.npz", X=padded(values, lengths, 3), y=CLASSES, lengths=lengths.astype(float)),
    )
    told = save(tmp_path / "told.npz", X=padded(values, lengths, np.nan), y=CLASSES)
    same(zeros, told)
    assert any("NaN only at the ends of sequences" in notice for notice in told.notices)


def test_values_are_standardised_by_what_is_real(tmp_path: Path, seed: int):
    lengths, values = lengths_and_values(seed)
    task = save(tmp_path / "t.npz", X=padded(values, lengths, 1e6), y=CLASSES, lengths=lengths)
    num_train = int(re.search(r"(\d+) train", task.description)[1])
    epoch = task.train_batch(0, seed=0, batch_size=num_train)
    assert epoch.lengths is not None
    real = epoch.inputs[torch.arange(LONGEST) < epoch.lengths[:, None]]
    assert torch.allclose(real.mean(dim=0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(real.std(dim=0, correction=0), torch.ones(2), atol=1e-5)


def test_a_csv_whose_rows_end_early_is_the_same(tmp_path: Path, seed: int):
    lengths, values = lengths_and_values(seed, channels=1)
    rows = [
        ",".join([*(f"{v!r}" for v in map(float, row[:n, 0])), *[""] * (LONGEST - n), f"k{c}"])
        for row, n, c in zip(values, lengths, CLASSES, strict=True)
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join([*(f"t{i}" for i in range(LONGEST)), "kind"]), *rows]))
    task = Table(str(path), "kind")
    same(task, save(tmp_path / "t.npz", X=padded(values, lengths, 0), y=CLASSES, lengths=lengths))
    shorter = int((lengths < LONGEST).sum())
    assert any(f"{shorter} of {NUM} sequences are shorter" in notice for notice in task.notices)
    path.write_text(path.read_text().replace(rows[0], "," + rows[0].split(",", 1)[1]))
    with pytest.raises(InputError, match=r"missing or infinite values in column 't0' .1, first in line 2."):
        Table(str(path), "kind")


def test_lengths_that_are_all_the_same_are_none(tmp_path: Path, seed: int):
    _, values = lengths_and_values(seed)
    plain = save(tmp_path / "plain.npz", X=values[:, :8], y=CLASSES)
    cut = save(tmp_path / "cut.npz", X=values, y=CLASSES, lengths=np.full(NUM, 8))
    assert cut.digest == plain.digest
    assert not cut.signature.ragged
    assert next(cut.evaluation_batches("test", batch_size=5)).lengths is None


def test_the_linear_baseline_reads_the_lengths(tmp_path: Path, seed: int):
    """A class that the length alone tells needs no network, and no value behind an end may tell it."""
    rng = np.random.default_rng(seed)
    lengths = np.where(np.arange(300) % 2, 4, 9)
    task = save(tmp_path / "t.npz", X=rng.normal(size=(300, 9, 1)), y=np.arange(300) % 2, lengths=lengths)
    assert {baseline.name: baseline.value for baseline in task.baselines()}[
        "linear model on the raw values and lengths"
    ] == 1


def test_an_array_of_objects_is_refused_with_lines_that_save_it(tmp_path: Path, seed: int):
    for channels in (1, 2):
        lengths, values = lengths_and_values(seed, channels)
        X = np.empty(NUM, dtype=object)
        X[:] = [row[:n] if channels > 1 else row[:n, 0] for row, n in zip(values, lengths, strict=True)]
        path = tmp_path / "objects.npz"
        np.savez(path, X=X, y=CLASSES)
        with pytest.raises(InputError, match="Python objects, which are refused") as error:
            Table(str(path))
        _, *lines = str(error.value).splitlines()
        names = {"np": np, "X": X, "y": CLASSES}
        exec(
            "\n".join(line.strip() for line in lines).replace("'objects.npz'", "path"), names | {"path": path}
        )
        read = Table(str(path))
        reference = save(
            tmp_path / "t.npz", X=padded(values, lengths, 0).astype("f4"), y=CLASSES, lengths=lengths
        )
        for mine, its in zip(batches(read), batches(reference), strict=True):
            assert torch.equal(mine.inputs, its.inputs)


def test_a_split_with_the_longest_sequences_sets_the_length_of_all(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    own: dict[str, Any] = {}
    for part, longest in (("train", 6), ("validation", 5), ("test", 9)):
        own |= {f"X_{part}": rng.normal(size=(30, longest)), f"y_{part}": CLASSES[:30]}
        own |= {f"lengths_{part}": rng.integers(2, longest + 1, size=30)}
        own[f"lengths_{part}"][0] = longest
    task = save(tmp_path / "t.npz", **own)
    assert task.signature.length == 9
    (test,) = task.evaluation_batches("test", batch_size=99)
    assert test.lengths is not None
    assert test.lengths.tolist() == own["lengths_test"].tolist()
    assert (test.inputs[:, :, 0] != 0).sum(dim=1).tolist() == own["lengths_test"].tolist()
