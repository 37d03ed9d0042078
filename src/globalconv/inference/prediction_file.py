"""Predictions for the rows of a file, written as CSV: ``globalconv predict``."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from globalconv.errors import InputError
from globalconv.host.atomic_files import write_text
from globalconv.host.devices import device_line, resolve_device
from globalconv.inference.prediction import Predictions, classify
from globalconv.inference.trained_models import load_classifier
from globalconv.study.report.wording import metric_in_words
from globalconv.tasks.files import user_path
from globalconv.tasks.unseen import class_numbers, read_unseen
from globalconv.training.fit import EVALUATION_BATCH


@dataclass(frozen=True)
class PredictRequest:
    """A run, the file whose rows it classifies, and the CSV file to write."""

    run: Path
    file: Path
    out: Path
    device: str = "auto"
    batch_size: int = EVALUATION_BATCH


def run_predict(request: PredictRequest, *, console: Console) -> Predictions:
    """Write the predictions for a file to ``request.out`` and print a summary. Raises InputError."""
    run, file, out = (user_path(str(path)) for path in (request.run, request.file, request.out))
    device = resolve_device(request.device)
    task, model = load_classifier(run)
    used = [task.options.get(name) for name in ("path", "validation", "test")]
    if out.resolve() in [Path(str(path)).resolve() for path in (file, *used) if path is not None]:
        raise InputError(f"--out {request.out}: this is a data file. Name another file.")
    data = read_unseen(task, file)
    true = class_numbers(task, data, file)
    console.print(device_line(device), highlight=False, soft_wrap=True)
    found = classify(task, model, data, device=device, batch_size=request.batch_size, true=true)
    write_text(out, _table(found))
    for line in (*_summary(found, file), f"Written to {request.out}."):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return found


def _table(found: Predictions) -> str:
    """CSV with the row number (from 0), the predicted class and the probability of each class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "predicted", *(f"probability of {name}" for name in found.classes)])
    for number, (name, shares) in enumerate(zip(found.predicted, found.probabilities, strict=True)):
        writer.writerow([number, name, *(f"{share:.6g}" for share in shares)])
    return text.getvalue()


def _summary(found: Predictions, file: Path) -> Iterator[str]:
    counts = np.bincount(found.probabilities.argmax(axis=1), minlength=len(found.classes))
    each = ", ".join(f"'{name}' {count}" for name, count in zip(found.classes, counts, strict=True))
    yield f"{len(found.probabilities)} rows of {file.name}, predicted: {each}."
    if found.scores is not None:
        scores = ", ".join(f"{metric_in_words(name)} {value:.4f}" for name, value in found.scores.items())
        yield f"Scores against the labels in the file: {scores}."
