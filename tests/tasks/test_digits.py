"""The digits are scikit-learn's, whole, and standardised."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from globalconv.tasks import Digits


def test_every_digit_is_in_exactly_one_split():
    task = Digits()
    pixels, classes = load_digits(return_X_y=True)
    train = task.train_batch(0, seed=0, batch_size=1079)
    parts = [
        train,
        *(next(task.evaluation_batches(split, batch_size=999)) for split in ("validation", "test")),
    ]
    assert [len(part.targets) for part in parts] == [1079, 359, 359]
    values = torch.cat([part.inputs for part in parts])[:, :, 0].double().numpy()
    slope, offset = np.polyfit([values.min(), values.max()], [0, 16], 1)
    found = sorted(
        map(tuple, np.c_[np.rint(slope * values + offset), torch.cat([p.targets for p in parts])].tolist())
    )
    assert found == sorted(map(tuple, np.c_[pixels, classes].tolist()))
    assert train.inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert train.inputs.std().item() == pytest.approx(1, abs=1e-3)


def test_classes_are_stratified():
    for split in ("validation", "test"):
        (batch,) = Digits().evaluation_batches(split, batch_size=999)
        counts = torch.bincount(batch.targets)
        assert counts.min() >= 34
        assert counts.max() <= 37


def test_baselines():
    majority, linear = Digits().baselines()
    assert (majority.name, linear.name) == ("majority class", "linear model on the raw pixels")
    assert 0.09 < majority.value < 0.11
    assert 0.93 < linear.value < 0.99
    assert majority.guess
    assert not linear.guess
