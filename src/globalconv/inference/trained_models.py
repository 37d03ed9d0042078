"""The model of a run's directory, if it is of the kind that a command needs."""

from pathlib import Path

import torch

from globalconv.errors import BrokenFile, InputError
from globalconv.models import LanguageModel
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.runs.reading import read_json
from globalconv.study.runs.run_directory import RunResult
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.tasks import TASKS, Classification, Text
from globalconv.tasks.text import byte_signature

CLASSIFICATIONS = [kind for kind, task in TASKS.items() if issubclass(task, Classification)]


def load_language_model(run: Path) -> tuple[LanguageModel, int]:
    """The language model of a run on text, and its training length in bytes. The training text is not needed.

    Raises InputError if ``run`` holds no language model.
    """
    spec = read_spec(run, kinds=[Text.kind])
    if spec.task.kind != Text.kind:
        raise InputError(
            f"{run} was trained on {spec.task.name}, and only a language model of bytes can generate text. Name a run "
            "of a study on text (globalconv compare text, or globalconv compare FILE.txt)."
        )
    length = spec.task.options.get("length")
    if not isinstance(length, int) or length < 1:
        raise InputError(f"{run / 'spec.json'}: task.options.length is not a valid length. Name another run.")
    model = load_model(run, spec.model, byte_signature(length))
    assert isinstance(model, LanguageModel)
    return model, length


def load_classifier(run: Path) -> tuple[Classification, torch.nn.Module]:
    """The task and the model of a finished run. The training data must be unchanged: it standardises new rows.

    Raises InputError if ``run`` holds no finished classifier, or if its training data has changed.
    """
    spec = read_spec(run, kinds=CLASSIFICATIONS)
    if spec.task.kind not in CLASSIFICATIONS:
        hint = " To generate text with it, use globalconv generate." if spec.task.kind == Text.kind else ""
        raise InputError(
            f"{run} was trained on {spec.task.name}, which is not a classification task. Name a run of a study on "
            f"{' or '.join(CLASSIFICATIONS)}.{hint}"
        )
    if not (run / "result.json").exists():
        raise InputError(f"{run} is not finished. Repeat its study's command, which resumes it.")
    try:
        result = read_json(run / "result.json", RunResult)
    except BrokenFile as error:
        raise InputError(f"{run}: {error}. Name another run.") from error
    if result.status != "finished":
        raise InputError(f"the training of {run} {result.status}. Name another run.")
    try:
        task = rebuild_task(spec.task)
    except InputError as error:
        raise InputError(
            "new rows are standardised with the run's training data, so its file must still exist, unchanged: "
            f"{error}"
        ) from error
    assert isinstance(task, Classification)
    return task, load_model(run, spec.model, task.signature)
