"""The learning rate over the steps, as a factor of its peak."""

import math
from collections.abc import Callable

from globalconv.training.settings import TrainingSettings


def rate_factor(settings: TrainingSettings) -> Callable[[int], float]:
    """The learning rate's factor before each step (counted from 0), by ``settings.schedule``."""
    return {"cosine": warmup_cosine, "inverse_sqrt": inverse_sqrt}[settings.schedule](settings)


def warmup_cosine(settings: TrainingSettings) -> Callable[[int], float]:
    """Linear warm-up, then a cosine decay to zero."""
    warmup = round(settings.warmup * settings.steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, settings.steps - warmup)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return factor


def inverse_sqrt(settings: TrainingSettings) -> Callable[[int], float]:
    """Linear warm-up, then inverse square root decay (arXiv 1706.03762, equation 3).

    The factor is 1 at the end of the warm-up, so that ``learning_rate`` is the peak; in the paper's units
    (width x warm-up steps)^-1/2.
    """
    warmup = max(1, round(settings.warmup * settings.steps))

    def factor(step: int) -> float:
        number = step + 1
        return min(number / warmup, math.sqrt(warmup / number))

    return factor
