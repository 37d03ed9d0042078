"""Fashion-MNIST from small files of its format; the real set where it is installed."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from globalconv.errors import InputError
from globalconv.tasks import Fashion
from globalconv.tasks.fashion import DEBIAN_FOLDER
from globalconv.tasks.idx import read_idx
from tests.tasks.examples import write_fashion, write_idx


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def refuse(folder: Path, **options: int) -> str:
    with pytest.raises(InputError) as error:
        Fashion(str(folder), **{"num_validation": 20, **options})
    return str(error.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_tokens_are_the_pixels(tmp_path: Path, rng: np.random.Generator, suffix: str):
    arrays = write_fashion(tmp_path, rng, suffix=suffix)
    images = arrays["t10k-images-idx3-ubyte"].astype(np.float64)
    pixels = next(
        Fashion(str(tmp_path), "pixels", num_validation=20).evaluation_batches("test", batch_size=60)
    )
    patches = next(Fashion(str(tmp_path), num_validation=20).evaluation_batches("test", batch_size=60))
    assert pixels.targets.tolist() == patches.targets.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    row, column = rng.integers(28, size=2)
    patch, within = 7 * (row // 4) + column // 4, 4 * (row % 4) + column % 4
    # Standardised values are an increasing line in the pixel values.
    for values in (pixels.inputs[:, 28 * row + column, 0], patches.inputs[:, patch, within]):
        assert np.corrcoef(values.numpy(), images[:, row, column])[0, 1] == pytest.approx(1)
        assert values.max() > 0 > values.min()


def test_training_values_are_standardised(tmp_path: Path, rng: np.random.Generator):
    write_fashion(tmp_path, rng)
    task = Fashion(str(tmp_path), num_validation=20)
    epoch = task.train_batch(0, seed=0, batch_size=180)
    assert torch.allclose(epoch.inputs.mean(dim=(0, 1)), torch.zeros(16), atol=1e-5)
    assert torch.allclose(epoch.inputs.std(dim=(0, 1), correction=0), torch.ones(16), atol=1e-5)


def test_validation_is_a_stratified_part_of_train(tmp_path: Path, rng: np.random.Generator):
    arrays = write_fashion(tmp_path, rng)
    task = Fashion(str(tmp_path), "pixels", num_validation=20, num_test=35)
    validation = next(task.evaluation_batches("validation", batch_size=100))
    assert torch.bincount(validation.targets).tolist() == [2] * 10
    test = next(task.evaluation_batches("test", batch_size=100))
    assert test.targets.tolist() == arrays["t10k-labels-idx1-ubyte"][:35].tolist()
    assert "180 train, 20 validation, 35 test" in task.description


def test_the_majority_baseline_is_of_the_test_split(tmp_path: Path, rng: np.random.Generator):
    write_fashion(tmp_path, rng)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.array([3] * 110 + list(range(9)) * 10, np.uint8))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([3] * 6 + [4] * 54, np.uint8))
    baselines = {
        baseline.name: baseline.value for baseline in Fashion(str(tmp_path), num_validation=20).baselines()
    }
    assert baselines["majority class"] == pytest.approx(0.1)
    assert "linear model on the raw pixels" in baselines


def test_missing_files(tmp_path: Path, rng: np.random.Generator):
    message = refuse(tmp_path)
    assert "train-images-idx3-ubyte[.gz] is not in" in message
    assert "dataset-fashion-mnist" in message
    assert "--data" in message
    write_fashion(tmp_path, rng)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert "t10k-labels-idx1-ubyte[.gz] is not in" in refuse(tmp_path)


def test_damaged_files(tmp_path: Path, rng: np.random.Generator):
    write_fashion(tmp_path, rng)
    path = tmp_path / "train-images-idx3-ubyte"
    whole = path.read_bytes()
    for damaged, words in [
        (whole[:-1], "gives 156800 .*truncated"),
        (whole + b"\0", "too long"),
        (whole[:9], "truncated"),
        (b"", "is empty"),
        (b"GIF89a" + whole, "should begin with the bytes 00 00 08, but begins with 47 49 46"),
        (b"\0\0\x0d" + whole[3:], "begins with 00 00 0d"),
        (b"\0\0\x08\xff" + bytes([0, 0, 0, 1]) * 255 + b"1", "255 axes"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"1", "GB of memory"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=words):
            read_idx(path)
    path.unlink()
    zipped = tmp_path / "train-images-idx3-ubyte.gz"
    for damaged in (
        gzip.compress(whole)[:-20],
        gzip.compress(whole)[:-1000],
        b"\x1f\x8b\x08" + b"\0" * 40,
        b"text",
    ):
        zipped.write_bytes(damaged)
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz"):
            read_idx(zipped)
    zipped.write_bytes(gzip.compress(whole))
    assert read_idx(zipped).shape == (200, 28, 28)


def test_files_that_do_not_fit_together(tmp_path: Path, rng: np.random.Generator):
    write_fashion(tmp_path, rng)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", rng.integers(256, size=(60, 8, 8), dtype=np.uint8))
    assert r"have shape (60, 8, 8); Fashion-MNIST's are (n, 28, 28)" in refuse(tmp_path)
    for labels in (np.zeros(59, np.uint8), np.full(60, 10, np.uint8), np.zeros((60, 1), np.uint8)):
        write_fashion(tmp_path, rng)
        write_idx(tmp_path / "t10k-labels-idx1-ubyte", labels)
        assert "for each of the 60 images" in refuse(tmp_path)


def test_impossible_options(tmp_path: Path, rng: np.random.Generator):
    write_fashion(tmp_path, rng)
    assert "num_validation can be 10 to 100" in refuse(tmp_path, num_validation=101)
    assert "num_validation can be 10 to 100" in refuse(tmp_path, num_validation=5)
    assert "num_test must be at least 1" in refuse(tmp_path, num_test=0)
    with pytest.raises(InputError, match="Did you mean 'patches'"):
        Fashion(str(tmp_path), "patch")


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_set():
    task = Fashion()
    assert task.signature.length == 49
    assert "58000 train, 2000 validation, 10000 test" in task.description
    targets = torch.cat([batch.targets for batch in task.evaluation_batches("test", batch_size=1000)])
    assert torch.bincount(targets).tolist() == [1000] * 10
