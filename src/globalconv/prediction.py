"""`globalconv predict`: a trained classifier says the classes of new rows, prepared as those that it was trained on."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from globalconv.errors import BrokenFile, InputError
from globalconv.host.atomic_files import write_text
from globalconv.host.devices import device_line, resolve_device
from globalconv.options import check_range
from globalconv.study.report.wording import metric_in_words
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.runs.reading import read_json
from globalconv.study.runs.run_directory import RunResult
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.tasks import TASKS, Classification, Text
from globalconv.tasks.files import user_path
from globalconv.tasks.labelled import Labelled, first_few
from globalconv.tasks.scoring import scores_of
from globalconv.tasks.unseen import class_numbers, read_unseen, unseen
from globalconv.training.fit import EVALUATION_BATCH

KINDS = [kind for kind, task in TASKS.items() if issubclass(task, Classification)]
MOST_ROWS_AT_A_TIME = 2**20


@dataclass(frozen=True)
class Predictions:
    """What a classifier answered to n rows.

    ``classes``: their names, in the order of the columns of ``probabilities`` (n, classes), float64, rows adding up to
    1. ``scores``: accuracy, balanced accuracy and macro F1, where the classes are known.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    scores: dict[str, float] | None = None

    @property
    def predicted(self) -> list[str]:
        """The likeliest class of each row, by name."""
        return [self.classes[number] for number in self.probabilities.argmax(axis=1)]


@dataclass(frozen=True)
class PredictRequest:
    """Which run says the classes of which file's rows, and where they are written."""

    run: Path
    file: Path
    out: Path
    device: str = "auto"
    batch_size: int = EVALUATION_BATCH


def predict(
    run_dir: str | Path,
    X: Any,
    lengths: Any = None,
    *,
    device: str = "auto",
    batch_size: int = EVALUATION_BATCH,
) -> Predictions:
    """The classes of new rows by a trained run: a directory in a study's runs/.

    ``X`` (n, length) or (n, length, channels) of real numbers, not standardised, in the layout of the training file;
    ``lengths`` (n,): how many positions of each are real, where the training data has lengths. The training file must
    still be where it was. Raises InputError for a run that is no finished classifier, and for rows that do not fit it.
    """
    run, device = user_path(str(run_dir)), resolve_device(device)
    task, model = _classifier(run)
    return _answered(task, model, unseen(task, X, lengths), device=device, batch_size=batch_size)


def run_predict(request: PredictRequest, *, console: Console) -> Predictions:
    """Write a file's predictions to ``request.out``, and say what they are. Raises InputError."""
    run, file, out = (user_path(str(path)) for path in (request.run, request.file, request.out))
    device = resolve_device(request.device)
    task, model = _classifier(run)
    used = [task.options.get(name) for name in ("path", "validation", "test")]
    if out.resolve() in [Path(str(path)).resolve() for path in (file, *used) if path is not None]:
        raise InputError(f"--out {request.out}: this is a file of data. Name another.")
    data = read_unseen(task, file)
    true = class_numbers(task, data, file)
    console.print(device_line(device), highlight=False, soft_wrap=True)
    found = _answered(task, model, data, device=device, batch_size=request.batch_size, true=true)
    write_text(out, _table(found))
    for line in (*_summary(found, file), f"Written to {request.out}."):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return found


def _classifier(run: Path) -> tuple[Classification, torch.nn.Module]:
    """The task and the model of a finished run. Raises InputError."""
    spec = read_spec(run, kinds=KINDS)
    if spec.task.kind not in KINDS:
        instead = " To let it write: globalconv generate." if spec.task.kind == Text.kind else ""
        raise InputError(
            f"{run} was trained on {spec.task.name}, which is no classification: name a run of a study on "
            f"{' or '.join(KINDS)}.{instead}"
        )
    if not (run / "result.json").exists():
        raise InputError(
            f"{run} is not finished: repeat its study's command, which goes on where it stopped."
        )
    try:
        result = read_json(run / "result.json", RunResult)
    except BrokenFile as error:
        raise InputError(f"{run}: {error}. Name another run.") from error
    if result.status != "finished":
        raise InputError(f"the training of {run} {result.status}: name another run.")
    try:
        task = rebuild_task(spec.task)
    except InputError as error:
        raise InputError(
            f"new rows are standardised by the run's training data, which must be where it was, unchanged: {error}"
        ) from error
    assert isinstance(task, Classification)
    return task, load_model(run, spec.model, task.signature)


@torch.no_grad()
def _answered(
    task: Classification,
    model: torch.nn.Module,
    data: Labelled,
    *,
    device: str,
    batch_size: int,
    true: NDArray[np.int64] | None = None,
) -> Predictions:
    check_range("--batch-size", batch_size, 1, MOST_ROWS_AT_A_TIME)
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
            f"the model has no finite answer to rows {first_few(broken)}, counted from 0: their values are too far "
            "from those that it was trained on. Mend them, or leave them out."
        )
    scores = None if true is None else scores_of(probabilities.argmax(axis=1), true)
    return Predictions(task.classes, probabilities, scores)


def _table(found: Predictions) -> str:
    """CSV: the row, counted from 0; the predicted class; and the probability of each class."""
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
        told = ", ".join(f"{metric_in_words(name)} {value:.4f}" for name, value in found.scores.items())
        yield f"By the labels in the file: {told}."
