"""The training loop, in one sitting."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from globalconv.errors import InputError
from globalconv.tasks.base import Batch, Task
from globalconv.training.checkpoint import (
    BrokenCheckpoint,
    Checkpoint,
    load_checkpoint,
    restore_training_state,
    save_checkpoint,
    training_state,
)
from globalconv.training.evaluate import evaluate
from globalconv.training.files import make_directory
from globalconv.training.parameter_groups import build_optimizer
from globalconv.training.schedule import rate_factor
from globalconv.training.settings import TrainingSettings

EVALUATION_BATCH = 128
SECONDS_BETWEEN_CHECKPOINTS = 10.0
STEPS_BETWEEN_LOSS_CHECKS = 10
"""Reading a loss makes an accelerator wait, so it is not done at every step. NaN does not go away."""


@dataclass(frozen=True)
class Evaluation:
    """Where a run stood when it was validated."""

    step: int
    seconds: float
    """Seconds of training until here, without evaluations."""
    train_loss: float
    """Mean since the evaluation before."""
    validation: dict[str, float]


@dataclass
class FitResult:
    """What a training run leaves behind."""

    status: Literal["finished", "diverged"]
    curve: list[Evaluation]
    best_step: int | None
    """The step that was best on validation, whose weights ``best.safetensors`` holds."""
    seconds: float
    seconds_per_step: float
    notices: list[str] = field(default_factory=list)


def fit(
    model: nn.Module,
    task: Task,
    settings: TrainingSettings,
    *,
    directory: Path,
    seed: int,
    accelerator: Accelerator | None = None,
    on_evaluation: Callable[[Evaluation], None] = lambda _: None,
) -> FitResult:
    """Train ``model`` on ``task``; keep the checkpoint that is best on validation.

    ``directory`` receives ``best.safetensors`` and, while training, ``last.safetensors``: called again
    with the same arguments after an interruption, the run goes on from there and ends as it would have.
    Other settings, another seed or other data than the interrupted run's raise InputError.
    ``seed`` draws the batches. Pass an ``accelerator`` of your own for another device, precision,
    trackers or many processes (each then trains on its share of every batch); ``settings.precision``
    holds for the default one only.

    A loss or a score that is not finite ends the run with status "diverged"; it raises nothing.
    """
    make_directory(directory)
    accelerator = accelerator or _default_accelerator(settings)
    optimizer = build_optimizer(model, settings, accelerator.device)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare_model = accelerator.unwrap_model(model)
    schedule = LambdaLR(getattr(optimizer, "optimizer", optimizer), rate_factor(settings))
    result = FitResult("finished", [], None, 0.0, 0.0)
    run = {"settings": settings.model_dump(mode="json"), "seed": seed, "data": task.digest}
    evaluated = checked = _resume(directory, bare_model, optimizer, schedule, result, run=run)

    evaluation_steps = set(settings.evaluation_steps())
    step_seconds: list[float] = []
    losses = torch.zeros((), device=accelerator.device)
    saved_at, started = time.monotonic(), time.perf_counter()
    model.train()
    for step in range(checked + 1, settings.steps + 1):
        batch = _share(task.train_batch(step, seed=seed, batch_size=settings.batch_size), accelerator)
        loss = task.loss(model(*batch.arguments), batch, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        accelerator.backward(loss)
        if settings.clip_norm is not None:
            accelerator.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        schedule.step()
        losses += loss.detach()
        validate = step in evaluation_steps
        if not validate and step % STEPS_BETWEEN_LOSS_CHECKS:
            continue

        # Reading the sum waits for the device, so only here is the time that has passed known.
        loss_sum = accelerator.reduce(losses, reduction="mean").item()
        elapsed = time.perf_counter() - started
        step_seconds += [elapsed / (step - checked)] * (step - checked)
        result.seconds += elapsed
        checked = step
        if not math.isfinite(loss_sum):
            result.status = "diverged"
            result.notices.append(f"the loss was no longer finite at step {step}")
            break
        if not validate:
            started = time.perf_counter()
            continue

        scores = evaluate(
            bare_model, task, "validation", batch_size=EVALUATION_BATCH, device=accelerator.device
        )
        if not all(map(math.isfinite, scores.values())):
            result.status = "diverged"
            result.notices.append(f"a validation score was not finite at step {step}")
            break
        evaluation = Evaluation(step, result.seconds, loss_sum / (step - evaluated), scores)
        losses.zero_()
        evaluated = step
        if _is_best(scores, result.curve, task) and accelerator.is_main_process:
            save_checkpoint(
                directory / "best.safetensors", Checkpoint(bare_model.state_dict(), asdict(evaluation))
            )
        result.curve.append(evaluation)
        accelerator.log({"train_loss": evaluation.train_loss, **scores}, step=step)
        on_evaluation(evaluation)
        due = time.monotonic() - saved_at > SECONDS_BETWEEN_CHECKPOINTS
        if due and step < settings.steps and accelerator.is_main_process:
            _save_last(directory, bare_model, optimizer, step, result, run=run)
            saved_at = time.monotonic()
        started = time.perf_counter()

    result.best_step = best_step(result.curve, task)
    result.seconds_per_step = median(step_seconds) if step_seconds else 0.0
    (directory / "last.safetensors").unlink(missing_ok=True)
    return result


def best_step(curve: list[Evaluation], task: Task) -> int | None:
    """The earliest step whose validation metric no other beats; None if there is no evaluation."""
    sign = 1.0 if task.metric.higher_is_better else -1.0
    return max(curve, key=lambda e: sign * e.validation[task.metric.name]).step if curve else None


def load_best(directory: Path, model: nn.Module) -> None:
    """Put the weights of ``best.safetensors`` into ``model``."""
    model.load_state_dict(load_checkpoint(directory / "best.safetensors").tensors)


def _is_best(scores: dict[str, float], curve: list[Evaluation], task: Task) -> bool:
    candidate = Evaluation(0, 0.0, 0.0, scores)
    return best_step([*curve, candidate], task) == 0


def _default_accelerator(settings: TrainingSettings) -> Accelerator:
    try:
        return Accelerator(mixed_precision=settings.precision)
    except ValueError as error:
        raise InputError(f"precision '{settings.precision}' cannot be had here: {error}") from error


def _share(batch: Batch, accelerator: Accelerator) -> Batch:
    """This process's rows of the batch, on its device; all rows where there is one process."""
    rank, processes = accelerator.process_index, accelerator.num_processes
    if processes > 1:
        batch = batch.rows(slice(rank, None, processes))
    return batch.to(accelerator.device)


def _save_last(
    directory: Path, model: nn.Module, optimizer: Any, step: int, result: FitResult, *, run: dict[str, Any]
) -> None:
    curve = [asdict(e) for e in result.curve]
    facts = {"run": run, "step": step, "seconds": result.seconds, "curve": curve}
    save_checkpoint(directory / "last.safetensors", Checkpoint(training_state(model, optimizer), facts))


def _resume(
    directory: Path,
    model: nn.Module,
    optimizer: Any,
    schedule: LambdaLR,
    result: FitResult,
    *,
    run: dict[str, Any],
) -> int:
    """Go back to ``last.safetensors`` if there is one, and return its step; 0 to begin at the beginning."""
    path = directory / "last.safetensors"
    if not path.exists():
        return 0
    try:
        checkpoint = load_checkpoint(path)
    except BrokenCheckpoint as error:
        result.notices.append(f"begun again: {error}")
        return 0
    if checkpoint.facts.get("run") != run:
        raise InputError(
            f"{directory} holds an interrupted run with other settings, another seed or other data. Repeat "
            "its arguments to finish it, delete last.safetensors to begin anew, or name another directory."
        )
    restore_training_state(checkpoint.tensors, model, optimizer)
    step = int(checkpoint.facts["step"])
    schedule.last_epoch = step
    for group, rate, factor in zip(
        schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
    ):
        group["lr"] = rate * factor(step)
    result.seconds = float(checkpoint.facts["seconds"])
    result.curve = [Evaluation(**e) for e in checkpoint.facts["curve"]]
    return step
