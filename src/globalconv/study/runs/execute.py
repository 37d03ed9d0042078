"""What a worker does: one run, or one warm-up, from a spec to files. It shares nothing but the disk."""

import itertools
import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from globalconv.errors import InputError
from globalconv.host.machine import machine_facts
from globalconv.measure.memory import peak_tensor_bytes
from globalconv.mixers.catalogue import outside_source
from globalconv.ops import choose_backend
from globalconv.study.design.build import build_model, count_parameters
from globalconv.study.design.estimate import TRAINING_FLOPS
from globalconv.study.runs.run_directory import RunDirectory, RunResult
from globalconv.study.schema import Confusion
from globalconv.study.spec import ModelSpec, RunSpec, TaskChoice, WarmUp
from globalconv.tasks import Classification, Task, build_task
from globalconv.training import fit, load_best
from globalconv.training.bootstrap import resampled_scores
from globalconv.training.evaluate import added_up, evaluate, tally_each
from globalconv.training.fit import EVALUATION_BATCH
from globalconv.training.isolation import own_accelerator, undisturbed
from globalconv.training.parameter_groups import build_optimizer

UNTIMED_STEPS = 5
"""The first of a process are slower: libraries plan, the allocator grows."""
TIMED_STEPS = 15
FEWEST_TIMED_STEPS = 5
"""Their median stands against two that a neighbour on the machine made slow."""
LONG_UNTIMED_SECONDS = 1.0
LONG_TIMED_SECONDS = 2.0
"""Where steps are long, fewer will do: after so long one is enough, untimed, and the fewest, timed."""
LONG_EVALUATION_SECONDS = 3.0
"""An evaluation that takes so long is not repeated. The first of a process fills caches, which added 0.9 s at most
where it was looked at (translation, copy, text on a busy machine); two neighbouring ones differ by as much."""
MOST_CLASSES = 100
"""The most classes for which a run keeps its confusion matrix, whose size is their number squared."""


def execute_run(spec: RunSpec, runs: Path) -> str:
    """Train, test if it is a final run, and leave a complete run directory. Returns the run's status.

    A run that is complete already is not repeated; one that was interrupted goes on from its last
    checkpoint.
    """
    with undisturbed(seed=spec.seed, threads=1), _accelerator(spec) as accelerator:
        directory = RunDirectory(runs, spec)
        if (done := directory.result()) is not None:
            return done.status
        task = rebuild_task(spec.task)
        check_sources(spec.model)
        model = build_model(spec.model, task.signature)
        directory.prepare(_environment(spec, task))
        outcome = fit(
            model,
            task,
            spec.training,
            directory=directory.path,
            seed=spec.seed,
            accelerator=accelerator,
            on_step=directory.note_step,
        )
        test: dict[str, float] = {}
        resampled: list[float] = []
        confusion = None
        if spec.purpose == "final" and outcome.status == "finished":
            load_best(directory.path, model)
            # In the precision that it was validated in.
            model = accelerator.prepare_model(model, evaluation_mode=True)
            examples = tally_each(model, task, "test", batch_size=EVALUATION_BATCH, device=accelerator.device)
            test = task.metrics(added_up(examples))
            if all(map(math.isfinite, test.values())):
                resampled = resampled_scores(examples, task)
                if isinstance(task, Classification) and len(task.classes) <= MOST_CLASSES:
                    confusion = Confusion(classes=list(task.classes), counts=task.confusion(examples))
            else:
                outcome.status, test = "diverged", {}
                outcome.notices.append("a test score was not finite")
        directory.finish(
            RunResult(
                status=outcome.status,
                best_step=outcome.best_step,
                validation=next((e.validation for e in outcome.curve if e.step == outcome.best_step), {}),
                test=test,
                test_resampled=resampled,
                confusion=confusion,
                parameters=count_parameters(model),
                flops_per_token=model.flops(task.signature.length) / task.signature.length,
                seconds=outcome.seconds,
                seconds_per_step=outcome.seconds_per_step,
                notices=outcome.notices,
            ),
            outcome.curve,
        )
        return outcome.status


def execute_warm_up(spec: RunSpec, until: float = math.inf) -> WarmUp:
    """Time a few training steps and an evaluation of ``spec``, and count the memory of one step.

    Past ``until``, of time.monotonic, which is one clock for all processes, it is cut short: two steps are timed
    whatever the hour, and an evaluation that was not begun is taken to cost what forward passes cost in a step.
    """
    with undisturbed(seed=spec.seed, threads=1), _accelerator(spec) as accelerator:
        return _warm_up(spec, until, accelerator)


def _warm_up(spec: RunSpec, until: float, accelerator: Accelerator) -> WarmUp:
    task = rebuild_task(spec.task)
    settings = spec.training
    model = build_model(spec.model, task.signature).to(accelerator.device)
    optimizer = build_optimizer(model, settings, accelerator.device)
    numbers = itertools.count(1)

    def step() -> None:
        batch = task.train_batch(next(numbers), seed=spec.seed, batch_size=settings.batch_size)
        batch = batch.to(accelerator.device)
        with accelerator.autocast():
            loss = task.loss(model(*batch.arguments), batch, label_smoothing=settings.label_smoothing)
        loss.backward()
        if settings.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    def evaluation() -> None:
        evaluate(model, task, "validation", batch_size=EVALUATION_BATCH, device=accelerator.device)

    step()
    state = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    state += sum(
        t.numel() * t.element_size()
        for moments in optimizer.state.values()
        for t in moments.values()
        if isinstance(t, torch.Tensor)
    )
    peak = state + peak_tensor_bytes(step)
    if time.monotonic() < until:
        timed(step, most=UNTIMED_STEPS, fewest=1, seconds=LONG_UNTIMED_SECONDS, until=until)
    steps = timed(step, most=TIMED_STEPS, fewest=FEWEST_TIMED_STEPS, seconds=LONG_TIMED_SECONDS, until=until)
    seconds_per_step = statistics.median(steps)
    if time.monotonic() < until:
        per_evaluation = timed(evaluation, most=2, fewest=1, seconds=LONG_EVALUATION_SECONDS, until=until)[-1]
    else:
        forward = seconds_per_step / TRAINING_FLOPS / settings.batch_size
        per_evaluation = task.num_examples("validation") * forward
    return WarmUp(
        seconds_per_step=seconds_per_step,
        seconds_per_evaluation=per_evaluation,
        seconds_per_test=per_evaluation * task.num_examples("test") / task.num_examples("validation"),
        peak_memory_bytes=peak,
    )


def timed(
    action: Callable[[], object], *, most: int, fewest: int, seconds: float, until: float = math.inf
) -> list[float]:
    """The seconds that each of several calls takes.

    ``most`` calls; ``fewest`` once ``seconds`` are over; one at least once ``until``, of time.monotonic, has passed.
    """
    times: list[float] = []
    while len(times) < most and (len(times) < fewest or sum(times) < seconds):
        if times and time.monotonic() >= until:
            break
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return times


def rebuild_task(choice: TaskChoice) -> Task:
    """The task of a spec. Raises InputError when its data is no longer what the study began with."""
    task = build_task(choice.kind, choice.options)
    if task.digest != choice.digest:
        raise InputError(
            f"the data of '{choice.name}' changed since this study began (digest {task.digest}, was "
            f"{choice.digest}). Restore it, or start a new study with another --out."
        )
    return task


def check_sources(model: ModelSpec) -> None:
    """Raise InputError if the code of a mixer from outside is no longer what the study began with."""
    for name, source in model.sources.items():
        if outside_source(name) != source:
            raise InputError(
                f"the file of the mixer '{name}' changed since this study began. Restore it, or start a new "
                "study with another --out."
            )


def _accelerator(spec: RunSpec) -> AbstractContextManager[Accelerator]:
    return own_accelerator(spec.training.precision, cpu=spec.device == "cpu")


def _environment(spec: RunSpec, task: Task) -> dict[str, str]:
    """Where a run is trained: what a sceptic needs to judge or repeat its numbers."""
    facts = {name: str(fact) for name, fact in machine_facts().items()}
    signature = task.signature
    choice = choose_backend(
        device=spec.device.partition(":")[0],
        dtype=torch.float32,
        length=signature.length,
        num_taps=signature.length,
        mode="causal" if signature.causal else "circular",
        batch=spec.training.batch_size,
        width=spec.model.width,
    )
    return {
        **{name: facts[name] for name in ("globalconv", "python", "torch", "system")},
        "processor": facts["cpu"],
        "cores": facts["cores"],
        "threads per run": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if spec.device.startswith("cuda") else spec.device,
        "operator backend": f"{choice.name}: {choice.reason}",
    }


one_thread = partial(undisturbed, seed=0, threads=1)
"""The state for all work on runs. Many of them side by side beat one on many threads at these sizes."""
