"""The training loop."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from globalconv.errors import InputError
from globalconv.host.atomic_files import make_directory, sweep_up
from globalconv.ranges import Count, Score, Seconds
from globalconv.tasks.base import Batch, Task
from globalconv.training.checkpoint import (
    BrokenCheckpoint,
    Checkpoint,
    check_training_state,
    load_checkpoint,
    load_weights,
    misfit,
    restore_training_state,
    save_checkpoint,
    training_state,
)
from globalconv.training.evaluate import evaluate
from globalconv.training.isolation import own_accelerator, patches_taken_back, undisturbed
from globalconv.training.parameter_groups import build_optimizer
from globalconv.training.schedule import rate_factor
from globalconv.training.settings import TrainingSettings

EVALUATION_BATCH = 128
SECONDS_BETWEEN_CHECKPOINTS = 10.0
STEPS_BETWEEN_LOSS_CHECKS = 10
"""Steps between checks of the loss: reading it makes an accelerator wait, and NaN does not go away."""


@dataclass(frozen=True)
class Evaluation:
    """The state of a run at one evaluation."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    step: Count
    seconds: Seconds
    """Seconds of training so far, without evaluations."""
    train_loss: Score
    """Mean since the previous evaluation."""
    validation: dict[str, Score]


@dataclass
class FitResult:
    """The outcome of a training run."""

    status: Literal["finished", "diverged"]
    curve: list[Evaluation]
    best_step: int | None
    """The step that was best on validation; ``best.safetensors`` holds its weights."""
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
    on_step: Callable[[int], None] = lambda _: None,
) -> FitResult:
    """Train ``model`` on ``task``; keep the checkpoint that is best on validation.

    ``directory`` receives ``best.safetensors`` and, while training, ``last.safetensors``: called again
    with the same arguments after an interruption, the run resumes from there with the same result. Settings, a
    seed or data other than the interrupted run's raise InputError.
    ``seed`` determines the batches and the dropout. Pass your own ``accelerator`` for another device, precision,
    trackers or several processes (each then trains on its share of every batch); ``settings.precision`` only applies
    to the default one, which uses this process alone, whatever a launcher set. ``on_step`` is called with the number
    of every completed step.

    Global settings of the caller (generators, default dtype and device, gradient mode, autocast) have no effect
    and are not changed.

    A loss or score that is not finite ends the run with status "diverged" and raises nothing.
    """
    make_directory(directory)
    sweep_up(directory)
    with (
        undisturbed(seed=seed),
        nullcontext(accelerator) if accelerator else own_accelerator(settings.precision) as used,
        patches_taken_back(model),
    ):
        return _fit(model, task, settings, used, directory, seed, on_evaluation, on_step)


def _fit(
    model: nn.Module,
    task: Task,
    settings: TrainingSettings,
    accelerator: Accelerator,
    directory: Path,
    seed: int,
    on_evaluation: Callable[[Evaluation], None],
    on_step: Callable[[int], None],
) -> FitResult:
    optimizer = build_optimizer(model, settings, accelerator.device)
    model, optimizer = accelerator.prepare(model, optimizer)
    bare_model = accelerator.unwrap_model(model)
    schedule = LambdaLR(getattr(optimizer, "optimizer", optimizer), rate_factor(settings))
    result = FitResult("finished", [], None, 0.0, 0.0)
    run = {"settings": settings.model_dump(mode="json"), "seed": seed, "data": task.digest}
    evaluated = checked = _resume(
        directory,
        bare_model,
        optimizer,
        schedule,
        result,
        run=run,
        settings=settings,
        metric=task.metric.name,
    )

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
        on_step(step)
        validate = step in evaluation_steps
        if not validate and step % STEPS_BETWEEN_LOSS_CHECKS:
            continue

        # Reading the sum waits for the device, so the elapsed time is only known here.
        loss_sum = accelerator.reduce(losses, reduction="mean").item()
        elapsed = time.perf_counter() - started
        step_seconds += [elapsed / (step - checked)] * (step - checked)
        result.seconds += elapsed
        checked = step
        if not math.isfinite(loss_sum):
            result.status = "diverged"
            result.notices.append(f"the loss was not finite at step {step}")
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
    # A run that was interrupted after its last step takes no more steps.
    result.seconds_per_step = median(step_seconds) if step_seconds else result.seconds / settings.steps
    (directory / "last.safetensors").unlink(missing_ok=True)
    return result


def best_step(curve: list[Evaluation], task: Task) -> int | None:
    """The earliest step with the best validation metric; None if there is no evaluation."""
    sign = 1.0 if task.metric.higher_is_better else -1.0
    return max(curve, key=lambda e: sign * e.validation[task.metric.name]).step if curve else None


def load_best(directory: Path, model: nn.Module) -> None:
    """Load the weights of ``best.safetensors`` into ``model``. Raises BrokenCheckpoint if they do not fit it."""
    load_weights(directory / "best.safetensors", model)


class _SoFar(BaseModel):
    """The metadata of ``last.safetensors``."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    run: dict[str, Any]
    step: Count
    seconds: Seconds
    curve: list[Evaluation]


def _is_best(scores: dict[str, float], curve: list[Evaluation], task: Task) -> bool:
    candidate = Evaluation(0, 0.0, 0.0, scores)
    return best_step([*curve, candidate], task) == 0


def _share(batch: Batch, accelerator: Accelerator) -> Batch:
    """This process's rows of the batch, on its device; all rows if there is one process."""
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
    settings: TrainingSettings,
    metric: str,
) -> int:
    """Restore ``last.safetensors`` if there is one and return its step; 0 to start from the beginning."""
    path = directory / "last.safetensors"
    if not path.exists():
        return 0
    try:
        checkpoint = load_checkpoint(path)
        if checkpoint.facts.get("run", run) != run:
            raise InputError(
                f"{directory} holds an interrupted run with other settings, another seed or other data. Repeat "
                "its arguments to finish it, delete last.safetensors to start again, or use another directory."
            )
        so_far = _so_far(path, checkpoint.facts, settings, metric)
        check_training_state(path, checkpoint.tensors, model, optimizer)
        best = directory / "best.safetensors"  # later evaluations may all be worse than the best so far
        misfit(best, load_checkpoint(best).tensors, model.state_dict())
    except BrokenCheckpoint as error:
        result.notices.append(f"started again: {error}")
        return 0
    restore_training_state(checkpoint.tensors, model, optimizer)
    schedule.last_epoch = so_far.step
    for group, rate, factor in zip(
        schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
    ):
        group["lr"] = rate * factor(so_far.step)
    result.seconds = so_far.seconds
    result.curve = so_far.curve
    return so_far.step


def _so_far(path: Path, facts: dict[str, Any], settings: TrainingSettings, metric: str) -> _SoFar:
    """The metadata of the checkpoint ``path``. Raises BrokenCheckpoint unless it belongs to such a run."""
    try:
        so_far = _SoFar.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BrokenCheckpoint(f"{path.name} cannot be read: {where}: {first['msg']}") from error
    steps = [evaluation.step for evaluation in so_far.curve]
    if steps != [step for step in settings.evaluation_steps() if step <= so_far.step] or steps[-1:] != [
        so_far.step
    ]:
        raise BrokenCheckpoint(f"{path.name} cannot be read: its curve does not end at its step")
    if not all(metric in evaluation.validation for evaluation in so_far.curve):
        raise BrokenCheckpoint(f"{path.name} cannot be read: its curve has no {metric}")
    return so_far
