"""Scores by class are scikit-learn's, from counts that add up; and what the user hears about classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from globalconv.tasks import Table, Tallies
from globalconv.tasks.scoring import class_scores, tally_classes
from globalconv.training.bootstrap import resampled_scores
from globalconv.training.evaluate import added_up

# A resample may have no example of a rare class.
pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")


def table(path: Path, sizes: list[int], metric: str = "accuracy", *, seed: int = 0) -> Table:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(seed).normal(size=(len(classes), 6))
    np.savez(path / "t.npz", X=values, y=classes)
    return Table(str(path / "t.npz"), metric=metric)


def answered(task: Table, seed: int) -> tuple[list[Tallies], list[int], list[int]]:
    """The tallies of the test split one by one, its classes, and random answers."""
    tallies, true, chosen = [], [], []
    generator = torch.Generator().manual_seed(seed)
    for batch in task.evaluation_batches("test", batch_size=1):
        logits = torch.randn(1, task.signature.num_outputs, generator=generator)
        logits[0, batch.targets[0]] += 1
        tallies.append(task.tally(logits, batch))
        true.append(int(batch.targets[0]))
        chosen.append(int(logits.argmax()))
    return tallies, true, chosen


def test_the_scores_are_scikit_learn_s(tmp_path: Path, seed: int):
    task = table(tmp_path, [150, 40, 10])
    tallies, true, chosen = answered(task, seed)
    scores = task.metrics(added_up(tallies))
    assert scores["accuracy"] == pytest.approx(np.mean(np.equal(true, chosen)))
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, chosen))
    assert scores["macro_f1"] == pytest.approx(f1_score(true, chosen, average="macro"))
    assert task.confusion(tallies) == confusion_matrix(true, chosen, labels=[0, 1, 2]).tolist()


@pytest.mark.parametrize(("true", "chosen"), [([0, 0, 1], [0, 0, 0]), ([1, 1], [1, 2]), ([0, 1], [2, 3])])
def test_a_class_that_is_missing_on_either_side_is_scored_as_scikit_learn_does(
    true: list[int], chosen: list[int]
):
    scores = class_scores(tally_classes(chosen, true))
    if set(chosen) <= set(true):  # else it warns
        assert scores["balanced_accuracy"] == balanced_accuracy_score(true, chosen)
    assert scores["macro_f1"] == pytest.approx(f1_score(true, chosen, average="macro", zero_division=0))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_the_metric_that_judges_is_the_one_resampled(tmp_path: Path, metric: str, seed: int):
    task = table(tmp_path, [150, 40, 10], metric)
    assert task.metric.name == metric
    tallies, true, chosen = answered(task, seed)
    score = {
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda t, c: f1_score(t, c, average="macro"),
    }
    resampled = resampled_scores(tallies, task)
    rng = np.random.default_rng(seed)
    expected = []
    for _ in range(300):
        drawn = rng.integers(len(true), size=len(true))
        expected.append(score[metric](np.array(true)[drawn], np.array(chosen)[drawn]))
    assert np.mean(resampled) == pytest.approx(np.mean(expected), abs=5 * np.std(expected) / np.sqrt(300))
    assert np.std(resampled) == pytest.approx(np.std(expected), rel=0.25)


def test_baselines_tell_every_score_and_are_in_the_task_s_own_metric(tmp_path: Path):
    for metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        task = table(tmp_path, [160, 20, 20], metric)
        scores = {
            baseline.name: {**baseline.extra_metrics, metric: baseline.value} for baseline in task.baselines()
        }
        majority = scores["majority class"]
        assert majority["accuracy"] == pytest.approx(0.8)
        assert majority["balanced_accuracy"] == pytest.approx(1 / 3)
        assert majority["macro_f1"] == pytest.approx(2 * 0.8 / 1.8 / 3)


def test_sizes_of_classes_are_told_and_one_that_is_most_of_them(tmp_path: Path):
    uneven = table(tmp_path, [20, 160, 20])
    assert "3 classes" in uneven.description
    assert uneven.description.endswith("Examples of each class: '1' 160, '0' 20, '2' 20.")
    (told,) = (notice for notice in uneven.notices if "--metric" in notice)
    assert told == (
        "80% of the examples are of class '1', so always predicting it has an accuracy of about 0.80. "
        "--metric balanced_accuracy gives every class the same weight."
    )
    assert not any("--metric" in notice for notice in table(tmp_path, [20, 160, 20], "macro_f1").notices)
    assert not any("--metric" in notice for notice in table(tmp_path, [60, 40, 40]).notices)
