"""Score a model on a held-out split."""

from collections import defaultdict

import torch
from torch import nn

from globalconv.tasks.base import EvaluationSplit, Task


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, split: EvaluationSplit, *, batch_size: int, device: torch.device
) -> dict[str, float]:
    """Every metric of ``task`` over the whole split, as sums over counts. Leaves the model in training mode."""
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, float] = defaultdict(float)
    model.eval()
    for batch in task.evaluation_batches(split, batch_size=batch_size):
        batch = batch.to(device)
        for name, (total, count) in task.tally(model(batch.inputs), batch).items():
            sums[name] += total
            counts[name] += count
    model.train()
    return {name: sums[name] / counts[name] for name in sums if counts[name]}
