"""Has a learning curve flattened out?"""

from collections.abc import Sequence


def has_plateaued(
    steps: Sequence[int], values: Sequence[float], *, higher_is_better: bool, tolerance: float
) -> bool:
    """Whether the best value improved by less than ``tolerance`` over the last quarter of the steps.

    A curve with no evaluation in its first three quarters has shown nothing: False.
    """
    sign = 1.0 if higher_is_better else -1.0
    early = [sign * v for s, v in zip(steps, values, strict=True) if s <= 0.75 * steps[-1]]
    return bool(early) and max(sign * v for v in values) - max(early) < tolerance
