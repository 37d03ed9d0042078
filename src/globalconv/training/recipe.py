"""The training recipe of "Attention Is All You Need"."""

from typing import Any

from globalconv.errors import InputError
from globalconv.training.settings import TrainingSettings

ORIGINAL_RECIPE: dict[str, Any] = {
    "weight_decay": 0.0,
    "schedule": "inverse_sqrt",
    "betas": (0.9, 0.98),
    "epsilon": 1e-9,
    "label_smoothing": 0.1,
    "clip_norm": None,
}
"""The settings that all sizes share (arXiv 1706.03762, sections 5.3 and 5.4): Adam without weight decay or clipping,
the inverse square root schedule, label smoothing. Dropout belongs to the model."""


def original_recipe(width: int, *, steps: int, batch_size: int, warmup_steps: int = 4000) -> TrainingSettings:
    """The paper's settings for a model of ``width``: the rate is width^-1/2 min(n^-1/2, n warmup_steps^-3/2).

    The paper counts a batch in tokens; here it is ``batch_size`` pairs. Raises InputError unless
    1 <= ``warmup_steps`` < ``steps``.
    """
    if not 1 <= warmup_steps < steps:
        raise InputError(f"warmup_steps={warmup_steps}: use at least 1 and fewer than the {steps} steps.")
    return TrainingSettings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=(width * warmup_steps) ** -0.5,
        warmup=warmup_steps / steps,
        **ORIGINAL_RECIPE,
    )
