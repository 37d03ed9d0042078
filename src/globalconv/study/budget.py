"""How many steps and seeds a budget of wall-clock seconds holds, and what is cut to make them fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from globalconv.errors import InputError
from globalconv.study.sweep import START_SIZE, SWEEP_SEEDS

FEWEST_SEEDS = 3
COST_SECONDS = 25.0
"""Set aside for the cost curves, a look inside the trained models, and the report."""
WIDENING = 1.3
"""Runs of a sweep, over those of a grid that does not widen and whose best rate proves to be it: some do otherwise."""
SWEEP_RUNS = WIDENING * (START_SIZE + len(SWEEP_SEEDS) - 1)
PARALLEL_EFFICIENCY = 0.97
"""The last runs of a round run alone. That neighbours slow each other down is in the warm-ups already."""
LADDER = tuple(2 ** (k / 8) for k in range(16, -33, -1))
"""Factors by which all steps may be scaled, from 4 down to 1/16."""
FEWER_SEEDS_BELOW = 0.35
"""Scaled down further than this, fewer seeds cost less knowledge than fewer steps."""

SLACK = 1.1
"""The budget that an error message names, over the least by this warm-up: the next one may be slower."""


@dataclass(frozen=True)
class Load:
    """What one run of one arm costs on one core, from its warm-up."""

    seconds_per_step: float
    seconds_of_evaluations: float
    steps: int


@dataclass(frozen=True)
class Fitted:
    """What fits: the factor on all steps, the seeds, the seconds that training takes, what was cut."""

    scale: float
    seeds: int
    seconds: float
    cuts: tuple[str, ...]


def fit_budget(
    loads: Sequence[Load],
    *,
    budget: float,
    spent: float,
    workers: int,
    sweep: bool,
    seeds: int,
    fixed_seeds: bool,
    fixed_steps: bool,
) -> Fitted:
    """The most steps, on a ladder of eighth powers of two, that fit with ``seeds`` final runs of every arm.

    ``budget``: seconds for the whole study, of which ``spent`` are gone. Where the steps that fit are less
    than about a third of the usual ones, three seeds are enough. ``fixed_steps`` and ``fixed_seeds`` are
    the user's and are not touched. Raises InputError if nothing fits, and names a budget that would do.
    """

    def seconds(scale: float, num_seeds: int) -> float:
        runs = num_seeds + (SWEEP_RUNS if sweep else 0)
        one = sum(scale * load.steps * load.seconds_per_step + load.seconds_of_evaluations for load in loads)
        return runs * one / (workers * PARALLEL_EFFICIENCY) + COST_SECONDS

    scales = (1.0,) if fixed_steps else LADDER
    choices = [seeds] if fixed_seeds else sorted({seeds, min(seeds, FEWEST_SEEDS)}, reverse=True)
    for num_seeds in choices:
        least = FEWER_SEEDS_BELOW if num_seeds > choices[-1] and not fixed_steps else 0.0
        for scale in scales:
            needed = seconds(scale, num_seeds)
            if scale >= least and spent + needed <= budget:
                return Fitted(scale, num_seeds, needed, _cuts(seeds, num_seeds, scale))
    least = seconds(scales[-1], choices[-1])
    fixes = ["fewer tasks or arms", "smaller sizes"]
    fixes += ["fewer --steps"] * fixed_steps + ["fewer --seeds"] * fixed_seeds + ["--no-sweep"] * sweep
    raise InputError(
        f"--budget {budget:g}s is too small: measuring the speed took {spent:.0f} s, and the least that this "
        f"study then needs here is {least:.0f} s. Give it --budget {math.ceil(SLACK * (spent + least))}s or "
        f"more, or {', '.join(fixes[:-1])} or {fixes[-1]}."
    )


def _cuts(usual_seeds: int, seeds: int, scale: float) -> tuple[str, ...]:
    cuts = []
    if seeds < usual_seeds:
        cuts.append(f"{seeds} seeds instead of {usual_seeds}, to fit the budget.")
    if scale < 1:
        cuts.append(f"Every run has {scale:.0%} of the usual steps, to fit the budget.")
    return tuple(cuts)
