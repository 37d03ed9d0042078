"""How much longer does a step of fit() take than one of a bare PyTorch loop?

    OMP_NUM_THREADS=1 python benchmarks/training_overhead.py

Trains the same models on the same batches, interleaved, in one process on one thread, once by
globalconv.training.fit and once by the loop in bare() below: forward, backward, clip, AdamW, and nothing
else. At the default sizes of the tasks recall, digits and text, each with attention and with the plain
convolution. A step lasts from the drawing of its batch to the drawing of the next, in seconds of processor
time, so that what else the machine does hardly counts. Prints median and quartiles of the ratios of the
steps within a round, and writes them to benchmarks/results/training_overhead.json.
Takes about a minute.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio
from globalconv.study.design.build import build_model
from globalconv.study.design.presets import QUICK
from globalconv.study.spec import ModelSpec
from globalconv.tasks import Baseline, Batch, Tallies, Task, build_task
from globalconv.tasks.base import EvaluationSplit
from globalconv.training import TrainingSettings, fit
from globalconv.training.parameter_groups import build_optimizer

TASKS = ("recall", "digits", "text")
MIXERS = ("attention", "global_conv")
BAR = 1.1
STEPS_TO_WARM_UP = 5


class Clocked(Task):
    """A task that notes the time whenever a training batch is drawn, and validates on one batch."""

    kind = "clocked"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.metric = task.metric
        self.signature = task.signature
        self.digest = task.digest
        self.times: list[float] = []

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        self.times.append(time.process_time())
        return self.task.train_batch(step, seed=seed, batch_size=batch_size)

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        return islice(self.task.evaluation_batches(split, batch_size=batch_size), 1)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.task.loss(logits, batch)

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return self.task.tally(logits, batch)

    def baselines(self) -> list[Baseline]:
        return self.task.baselines()

    def median_step(self) -> float:
        """Milliseconds of the median step since the last call."""
        steps = [after - before for before, after in pairwise(self.times)]
        self.times = []
        return 1e3 * statistics.median(steps[STEPS_TO_WARM_UP:])


def bare(model: nn.Module, task: Task, settings: TrainingSettings, *, seed: int) -> None:
    """The least that trains the same model: no schedule, no checks, no validation, no files."""
    optimizer = build_optimizer(model, settings, torch.device("cpu"))
    for step in range(1, settings.steps + 1):
        batch = task.train_batch(step, seed=seed, batch_size=settings.batch_size)
        loss = task.loss(model(batch.inputs), batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()


def compare(kind: str, mixer: str, *, steps: int, rounds: int, seed: int) -> dict[str, str | float]:
    """Median milliseconds per step of both loops on one task and mixer, and their ratio."""
    preset = QUICK[kind]
    task = Clocked(build_task(kind, preset.options))
    spec = ModelSpec(
        mixers=(mixer,) * preset.depth,
        mixer_options={"attention": {"num_heads": preset.heads}},
        width=preset.width,
        mlp_width=preset.mlp_ratio * preset.width,
    )
    settings = TrainingSettings(
        steps=steps, batch_size=preset.batch_size, learning_rate=preset.rates[mixer], evaluations=1
    )

    def by_fit(model: nn.Module) -> None:
        with tempfile.TemporaryDirectory() as directory:
            fit(model, task, settings, directory=Path(directory), seed=seed)

    def by_hand(model: nn.Module) -> None:
        bare(model, task, settings, seed=seed)

    def median_step(loop: Callable[[nn.Module], None]) -> float:
        torch.manual_seed(seed)
        loop(build_model(spec, task.signature))
        return task.median_step()

    loops = {"fit": partial(median_step, by_fit), "bare": partial(median_step, by_hand)}
    medians = interleaved(loops, rounds=rounds)
    against = ratio(medians["fit"], medians["bare"])
    return {
        "task": kind,
        "mixer": mixer,
        "fit_ms": round(statistics.median(medians["fit"]), 3),
        "bare_ms": round(statistics.median(medians["bare"]), 3),
        "ratio": round(against.median, 3),
        "ratio_low_quartile": round(against.low, 3),
        "ratio_high_quartile": round(against.high, 3),
    }


def main() -> None:
    parser = options(__doc__, name="training_overhead", rounds=8)
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for kind in TASKS:
        for mixer in MIXERS:
            row = compare(kind, mixer, steps=arguments.steps, rounds=arguments.rounds, seed=arguments.seed)
            results.append(row)
            print(
                f"{kind:7} {mixer:12} fit {row['fit_ms']:7.2f} ms  bare {row['bare_ms']:7.2f} ms  "
                f"ratio {row['ratio']:.3f} ({row['ratio_low_quartile']:.3f} to {row['ratio_high_quartile']:.3f})",
                flush=True,
            )
    worst = max(float(row["ratio"]) for row in results)
    print(f"worst ratio {worst:.3f}, and the bar is {BAR}")
    record: dict[str, object] = {
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "seed": arguments.seed,
        "clock": "seconds of processor time",
        "bar": BAR,
        "worst_ratio": worst,
        "results": results,
    }
    write_record(arguments.output, __doc__, record)


if __name__ == "__main__":
    main()
