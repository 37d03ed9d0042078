"""What is made smaller, and in which order, until a study fits its budget."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

FEWEST_TELLING_SEEDS = 2
"""One seed has no interval, and so no verdict."""
NARROWEST_WIDTH = 32
SMALLEST_BATCH_TOKENS = 2048
"""A batch is not halved below as many tokens, nor below 8 examples that have one answer each."""
SMALLEST_BATCH = 8
SHALLOWEST = 2
"""A hybrid needs two blocks, and so does every question about depth."""


@dataclass(frozen=True)
class Reduction:
    """How far a study is reduced. The default: not at all.

    Only what the user left open is reduced, and no task at the sizes for which its learning rates ship.
    """

    least_scale: float = 1.0
    """The least factor by which all steps may be scaled before more is cut."""
    coarse_sweep: bool = False
    longest: int | None = None
    """The most tokens of a sequence of the user's own values; consecutive positions are joined to get there."""
    batch_divisor: int = 1
    width_divisor: int = 1
    depth_divisor: int = 1
    arms_left_out: int = 0
    """How many of the default arms, least telling first."""
    fewest_seeds: bool = False


_STEPS: tuple[dict[str, float | bool], ...] = (
    {"coarse_sweep": True},
    {"least_scale": 0.7},
    {"least_scale": 0.5},
    {"longest": 256},
    {"batch_divisor": 2},
    {"longest": 128},
    {"batch_divisor": 4},
    {"arms_left_out": 1},
    {"width_divisor": 2},
    {"longest": 64},
    {"batch_divisor": 8},
    {"arms_left_out": 2},
    {"least_scale": 0.25},
    {"depth_divisor": 2},
    {"fewest_seeds": True},
    {"least_scale": 0.125},
)
"""The order of least harm: first what a result hardly depends on, last what a verdict needs."""


def reductions() -> Iterator[Reduction]:
    """No reduction, then one more cut each time, on top of those before it."""
    reduction = Reduction()
    yield reduction
    for step in _STEPS:
        reduction = replace(reduction, **step)  # type: ignore[arg-type]  # the fields' own types
        yield reduction
