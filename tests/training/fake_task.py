"""A task made for these tests: two classes that a small model learns in seconds, and ways to go wrong."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.mixers import Attention, GatedConv, GlobalConv
from globalconv.models import Classifier
from globalconv.tasks.base import Baseline, Batch, EvaluationSplit, Metric, Signature, Tallies, Task
from globalconv.training import TrainingSettings

LENGTH, CHANNELS, HELD_OUT = 6, 2, 200


@dataclass(frozen=True)
class NotedBatch(Batch):
    """A batch that notes the devices it is moved to."""

    devices: list[torch.device] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        self.devices.append(device)
        return super().to(device)


class Halves(Task):
    """Which half of a sequence of normal values has the larger sum?

    ``scores``: what the validation metric is to be, evaluation by evaluation, instead of what it is.
    ``spoiled_from``: the step from which the training loss is NaN. ``lower``: judge by the loss.
    """

    kind = "halves"
    name = "halves"
    signature = Signature(
        kind="classification", causal=False, length=LENGTH, num_outputs=2, channels=CHANNELS
    )
    description = "Two halves."

    def __init__(
        self, *, scores: Sequence[float] | None = None, spoiled_from: int | None = None, lower: bool = False
    ) -> None:
        self.options = {}
        self.digest = "halves"
        self.metric = Metric("loss" if lower else "accuracy", higher_is_better=not lower, margin=0.01)
        self.scores = scores
        self.spoiled_from = spoiled_from
        self.evaluations = 0
        self.losses: list[float] = []
        self.devices: list[torch.device] = []
        self.step = 0

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        self.step = step
        inputs, targets = _draw(batch_size, seed=(seed << 20) + step)
        return NotedBatch(inputs, targets, devices=self.devices)

    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        self.evaluations += split == "validation"
        whole = _draw(HELD_OUT, seed={"validation": 1, "test": 2}[split])
        for inputs, targets in zip(*(t.split(batch_size) for t in whole), strict=True):
            yield NotedBatch(inputs, targets, devices=self.devices)

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        loss = F.cross_entropy(logits.float(), batch.targets, label_smoothing=label_smoothing)
        if self.spoiled_from is not None and self.step >= self.spoiled_from:
            loss = loss * math.nan
        self.losses.append(loss.item())
        return loss

    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        count = len(logits)
        right = (logits.argmax(1) == batch.targets).sum().item()
        loss = F.cross_entropy(logits.float(), batch.targets, reduction="sum").item()
        tallies = {"accuracy": (float(right), float(count)), "loss": (loss, float(count))}
        if self.scores is not None:
            tallies[self.metric.name] = (self.scores[self.evaluations - 1] * count, float(count))
        return tallies

    def baselines(self) -> list[Baseline]:
        return [Baseline("either half", 0.5, guess=True)]


def _draw(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, LENGTH, CHANNELS, generator=generator)
    first, second = inputs.sum(2).split(LENGTH // 2, dim=1)
    return inputs, (first.sum(1) > second.sum(1)).long()


def model(seed: int = 0) -> Classifier:
    """A small hybrid: it has parameters in every group."""
    torch.manual_seed(seed)
    mixers = [GlobalConv(8, LENGTH), Attention(8, LENGTH, num_heads=2), GatedConv(8, LENGTH)]
    return Classifier(2, mixers, mlp_width=8, channels=CHANNELS)


def settings(**changes: object) -> TrainingSettings:
    """Forty steps, eight evaluations."""
    values: dict[str, object] = {"steps": 40, "batch_size": 16, "learning_rate": 3e-3, "evaluations": 8}
    return TrainingSettings.model_validate(values | changes)
