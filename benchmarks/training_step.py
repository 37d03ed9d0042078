"""What does a whole training step gain from the fused operator, and how does it stand beside attention's?

    OMP_NUM_THREADS=1 python benchmarks/training_step.py

Models of the default studies (text also at length 1024), one for each way to mix: attention; and the arms with
a convolution, once with the backend that global_conv chooses and once with torch.fft ("spectral"). They train on
the same batches, interleaved, in one process on one thread: forward, loss, backward, AdamW. Prints the steps' times by
those of the arm's own with the chosen backend (above 1: that one is faster), median and quartiles of the
ratios within a round, and writes them to benchmarks/results/training_step.json. Takes about a minute.
"""

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from common import options, write_record
from globalconv.measure.interleaved import interleaved, ratio, seconds
from globalconv.study.design.build import build_model
from globalconv.study.design.presets import QUICK
from globalconv.study.spec import ModelSpec
from globalconv.tasks import Task, build_task
from globalconv.training import TrainingSettings
from globalconv.training.parameter_groups import build_optimizer

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("recall", {}),
    ("digits", {}),
    ("text", {}),
    ("text", {"length": 1024}),
)
ARMS = ("global_conv", "gated_conv")
STEPS_AT_A_TIME = 5


def trainer(task: Task, kind: str, mixer: str, backend: str | None, *, seed: int) -> Callable[[], None]:
    """A call that trains a few steps more."""
    preset = QUICK[kind]
    own = {"num_heads": preset.heads} if mixer == "attention" else {"backend": backend}
    spec = ModelSpec(
        mixers=(mixer,) * preset.depth,
        mixer_options={mixer: own},
        width=preset.width,
        mlp_width=preset.mlp_ratio * preset.width,
    )
    settings = TrainingSettings(
        steps=1, batch_size=preset.batch_size, learning_rate=preset.rates[mixer], evaluations=1
    )
    torch.manual_seed(seed)
    model = build_model(spec, task.signature)
    optimizer = build_optimizer(model, settings, torch.device("cpu"))

    def train() -> None:
        for step in range(1, STEPS_AT_A_TIME + 1):
            batch = task.train_batch(step, seed=seed, batch_size=settings.batch_size)
            loss = task.loss(model(batch.inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train


def main() -> None:
    arguments = options(__doc__, name="training_step", rounds=9).parse_args()
    torch.set_num_threads(1)
    results: list[dict[str, object]] = []
    for kind, changes in CASES:
        task = build_task(kind, QUICK[kind].options | changes)
        make = partial(trainer, task, kind, seed=arguments.seed)
        calls = {"attention": make("attention", None)}
        for arm in ARMS:
            calls |= {f"{arm}, {backend or 'chosen'}": make(arm, backend) for backend in (None, "spectral")}
        for call in calls.values():
            call()
        times = {
            name: [taken / STEPS_AT_A_TIME for taken in some]
            for name, some in interleaved(
                {name: partial(seconds, call) for name, call in calls.items()}, rounds=arguments.rounds
            ).items()
        }
        for arm in ARMS:
            own = times[f"{arm}, chosen"]
            row: dict[str, object] = {
                "task": kind,
                "length": task.signature.length,
                "arm": arm,
                "step_ms": round(1e3 * statistics.median(own), 2),
            }
            for name, peer in (("spectral", f"{arm}, spectral"), ("attention", "attention")):
                against = ratio(times[peer], own)
                row |= {
                    name: round(against.median, 2),
                    f"{name}_quartiles": [round(against.low, 2), round(against.high, 2)],
                }
            results.append(row)
            print(*row.values(), flush=True)
    write_record(arguments.output, __doc__, {"rounds": arguments.rounds, "results": results})


if __name__ == "__main__":
    main()
