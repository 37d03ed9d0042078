"""Class probabilities of new rows, from a run's classifier: ``globalconv.predict``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.host.devices import resolve_device
from globalconv.inference.trained_models import load_classifier
from globalconv.options import check_range
from globalconv.tasks import Classification
from globalconv.tasks.files import user_path
from globalconv.tasks.labelled import Labelled, first_few
from globalconv.tasks.scoring import scores_of
from globalconv.tasks.unseen import unseen
from globalconv.training.fit import EVALUATION_BATCH

LARGEST_BATCH = 2**20


@dataclass(frozen=True)
class Predictions:
    """The predictions of a classifier for n rows.

    ``classes``: their names, in the order of the columns of ``probabilities`` (n, classes), float64; each
    row sums to 1. ``scores``: accuracy, balanced accuracy and macro F1, if the true classes are known.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    scores: dict[str, float] | None = None

    @property
    def predicted(self) -> list[str]:
        """The name of the most probable class of each row."""
        return [self.classes[number] for number in self.probabilities.argmax(axis=1)]


def predict(
    run_dir: str | Path,
    X: Any,
    lengths: Any = None,
    *,
    device: str = "auto",
    batch_size: int = EVALUATION_BATCH,
) -> Predictions:
    """Classify new rows with the model of a run, a directory in a study's runs/.

    ``X`` (n, length) or (n, length, channels): real numbers, not standardised, in the layout of the training file.
    ``lengths`` (n,): the number of real positions of each row, if the training data has lengths. The training file
    must still exist, unchanged. Raises InputError if the run holds no finished classifier, or if ``X`` does not fit it.
    """
    run, device = user_path(str(run_dir)), resolve_device(device)
    task, model = load_classifier(run)
    return classify(task, model, unseen(task, X, lengths), device=device, batch_size=batch_size)


@torch.no_grad()
def classify(
    task: Classification,
    model: torch.nn.Module,
    data: Labelled,
    *,
    device: str,
    batch_size: int,
    true: NDArray[np.int64] | None = None,
) -> Predictions:
    """The predictions for ``data``, in batches; scored if the true class numbers ``true`` (n,) are given."""
    check_range("--batch-size", batch_size, 1, LARGEST_BATCH)
    model = model.to(device)
    found = []
    for start in range(0, len(data.values), batch_size):
        rows = slice(start, start + batch_size)
        lengths = None if data.lengths is None else torch.from_numpy(data.lengths[rows])
        inputs, lengths = task.prepare(torch.from_numpy(data.values[rows]), lengths)
        logits = model(inputs.to(device), None if lengths is None else lengths.to(device))
        found.append(logits.double().softmax(-1).cpu().numpy())
    probabilities = np.concatenate(found)
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise InputError(
            f"the model's output for rows {first_few(broken)} (counted from 0) is not finite, because their values are "
            "far outside the range of the training data. Correct these rows or remove them."
        )
    scores = None if true is None else scores_of(probabilities.argmax(axis=1), true)
    return Predictions(task.classes, probabilities, scores)
