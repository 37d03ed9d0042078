"""Examples for the probes, which take no lengths: inputs without padding."""

import sys

import torch
from torch import Tensor

from globalconv.tasks import Task


def unpadded_examples(task: Task, num: int) -> Tensor:
    """Inputs (num, length, ...) of examples of the validation split, or of as many as there are.

    The first ones. Where rows have different lengths: the longest ones, none shorter than half of the longest, cut to
    the shortest of these.
    """
    if not task.signature.ragged:
        return next(iter(task.evaluation_batches("validation", batch_size=num))).inputs
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    assert whole.lengths is not None
    lengths, order = torch.sort(whole.lengths, descending=True, stable=True)
    chosen = order[: min(num, int((2 * lengths >= lengths[0]).sum()))]
    return whole.inputs[chosen, : int(whole.lengths[chosen].min())]
