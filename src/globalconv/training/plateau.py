"""Has a learning curve flattened out?"""

import math
from collections.abc import Sequence

FEWEST_STEPS = 100
FEWEST_EVALUATIONS = 6
"""With fewer evaluations, a schedule that ends at zero looks flat at its end, whatever the model could still learn."""
EARLY = 0.25
"""The share of its gain that a straight line makes in the last quarter of its steps."""


def is_too_short(steps: Sequence[int]) -> bool:
    """Whether a curve with evaluations at these steps is too short to show a plateau."""
    return len(steps) < FEWEST_EVALUATIONS or steps[-1] < FEWEST_STEPS


def late_gain(steps: Sequence[int], values: Sequence[float], *, higher_is_better: bool) -> float | None:
    """How far the best value improved over the last quarter of the steps.

    None for a curve without evaluations in its first three quarters.
    """
    sign = 1.0 if higher_is_better else -1.0
    early = [sign * v for s, v in zip(steps, values, strict=True) if s <= 0.75 * steps[-1]] if steps else []
    return max(sign * v for v in values) - max(early) if early else None


def has_plateaued(
    steps: Sequence[int], values: Sequence[float], *, higher_is_better: bool, tolerance: float
) -> bool:
    """Whether the best value improved by less than ``tolerance`` over the last quarter of the steps."""
    gain = late_gain(steps, values, higher_is_better=higher_is_better)
    return gain is not None and gain < tolerance


def steps_to_plateau(
    steps: Sequence[int], values: Sequence[float], *, higher_is_better: bool, tolerance: float
) -> int | None:
    """The smallest number of steps for a plateau, if the late gain falls off as 1 / steps.

    A gain that falls off more slowly, such as a power law with a small exponent, needs more. None if the curve has
    plateaued, or if it made at least EARLY of its gain late, and so is not slowing down yet.
    """
    gain = late_gain(steps, values, higher_is_better=higher_is_better)
    if gain is None or gain < tolerance or tolerance <= 0:
        return None
    whole = (max(values) - values[0]) if higher_is_better else (values[0] - min(values))
    return None if gain >= EARLY * whole else math.ceil(steps[-1] * gain / tolerance)
