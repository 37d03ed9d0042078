"""The training examples of each step: every example once per epoch, in an order that depends on the seed."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


@lru_cache(maxsize=4)
def _permutation(num_examples: int, seed: int, epoch: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(num_examples))


def epoch_indices(step: int, *, num_examples: int, seed: int, batch_size: int) -> Tensor:
    """Indices (batch_size,) int64 of the examples of training step ``step``.

    The epochs' permutations are concatenated and cut into batches. A batch may span two epochs (or more, if it is
    larger than the data), so no example is dropped. A pure function.
    """
    position, end = step * batch_size, (step + 1) * batch_size
    parts = []
    while position < end:
        epoch, offset = divmod(position, num_examples)
        part = _permutation(num_examples, seed, epoch)[offset : offset + end - position]
        parts.append(part)
        position += len(part)
    return torch.cat(parts)
