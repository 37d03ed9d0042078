"""How many steps and seeds a budget of wall-clock seconds holds, and what is cut to make them fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from globalconv.options import duration_option, parse_duration
from globalconv.study.design.presets import SERIOUS_BUDGET_SECONDS
from globalconv.study.design.sweep import COARSE_SHARE, START_SIZE, SWEEP_SEEDS
from globalconv.study.spec import WarmUp

FEWEST_SEEDS = 3
COST_SECONDS = 30.0
"""Set aside for the cost curves, probes of the trained models, and the report, which is also written once on trial."""
WIDENING = 1.3
"""Runs of a sweep, over those of a grid that does not widen and whose best rate proves to be it: some do otherwise."""
LATER_TRIALS = WIDENING * (START_SIZE + len(SWEEP_SEEDS) - 1) - START_SIZE
"""The mean number of runs in an arm's sweep after its grid. Each waits for the result of the one before."""
LATER_COARSE_TRIALS = (WIDENING - 1) * START_SIZE
"""The same for a coarse sweep, whose best rate is not confirmed on a second seed."""
PARALLEL_EFFICIENCY = 0.97
"""The last runs of a round run alone. That neighbours slow each other down is in the warm-ups already."""
LADDER = tuple(2 ** (k / 8) for k in range(16, -33, -1))
"""Factors by which all steps may be scaled, from 4 down to 1/16."""
FEWER_SEEDS_BELOW = 0.35
"""Below this factor, fewer seeds lose less than fewer steps."""

OVERRUN = 0.1
"""The share of the budget by which a study may end late before a seed is dropped. A machine that is slow for a minute
must not cost a third of what three seeds can tell."""
SECOND_SEED_OVERRUN = 0.3
"""The same for the second seed, without which there is no interval, and so no answer."""

SLACK = 1.1
"""The budget that is advised, over what it must hold by this warm-up: the next one may be slower."""
LARGER_DEFAULTS = (
    f"; from --budget {duration_option(SERIOUS_BUDGET_SECONDS)} on the defaults are larger: swept rates, five seeds, "
    "on some tasks larger models"
)


@dataclass(frozen=True)
class Load:
    """What one run of one arm costs on one core, from its warm-up."""

    seconds_per_step: float
    seconds_of_evaluations: float
    steps: int

    @classmethod
    def of(cls, warm_up: WarmUp, *, steps: int, evaluations: int) -> "Load":
        """The load of a run with ``steps`` steps. At its end the best weights are evaluated on both splits."""
        evaluating = (evaluations + 1) * warm_up.seconds_per_evaluation + warm_up.seconds_per_test
        return cls(warm_up.seconds_per_step, evaluating, steps)

    def seconds(self, scale: float = 1.0) -> float:
        """Seconds of the whole run, with ``scale`` times the steps."""
        return scale * self.steps * self.seconds_per_step + self.seconds_of_evaluations


@dataclass(frozen=True)
class Terms:
    """The part of the request that decides what fits. ``fixed_...``: the user chose it, so it is not cut."""

    budget: float
    """Seconds for the whole study."""
    workers: int
    sweep: bool
    seeds: int
    fixed_sweep: bool
    fixed_seeds: bool
    fixed_steps: bool
    coarse: bool = False
    """Whether the sweep's runs are short, and its choice is not confirmed."""

    @property
    def scales(self) -> tuple[float, ...]:
        """The factors that all steps may have, largest first."""
        return (1.0,) if self.fixed_steps else LADDER

    @property
    def fewest_seeds(self) -> int:
        """The fewest seeds that may be run."""
        return self.seeds if self.fixed_seeds else min(self.seeds, FEWEST_SEEDS)

    def seconds(self, loads: Sequence[Load], scale: float, seeds: int) -> float:
        """The seconds of all that follows the warm-ups."""
        runs = [load.seconds(scale) for load in loads]
        trials = [COARSE_SHARE * seconds for seconds in runs] if self.coarse else runs
        later = LATER_COARSE_TRIALS if self.coarse else LATER_TRIALS
        swept = self._side_by_side(START_SIZE * trials) + later * self._side_by_side(trials)
        return self._side_by_side(seeds * runs) + (swept if self.sweep else 0.0) + COST_SECONDS

    def _side_by_side(self, runs: Sequence[float]) -> float:
        """The least time that the workers need for ``runs``.

        One of the longest k x workers + 1 runs must wait for k others: many workers do not shorten a round of few runs.
        """
        waiting = enumerate(sorted(runs, reverse=True)[:: self.workers], start=1)
        # Rounded once, so that it does not depend on the order in which the arms were measured.
        shared = math.fsum(runs) / (self.workers * PARALLEL_EFFICIENCY)
        return max(shared, *(rounds * seconds for rounds, seconds in waiting)) if runs else 0.0

    def least(self, loads: Sequence[Load]) -> float:
        """The seconds with the fewest steps and seeds."""
        return self.seconds(loads, self.scales[-1], self.fewest_seeds)


@dataclass(frozen=True)
class Fitted:
    """What fits: the factor on all steps, the seeds, and the seconds that the study then still takes."""

    scale: float
    seeds: int
    seconds: float
    fits: bool = True
    """False: even the least exceeds the budget."""


def fit_budget(loads: Sequence[Load], terms: Terms, *, spent: float) -> Fitted:
    """The most steps, on a ladder of eighth powers of two, that fit with the seeds asked for.

    ``spent``: seconds of the budget that are gone. Where the steps that fit are less than about a third of
    the usual ones, three seeds are enough.
    """
    for seeds in sorted({terms.seeds, terms.fewest_seeds}, reverse=True):
        lowest = FEWER_SEEDS_BELOW if seeds > terms.fewest_seeds and not terms.fixed_steps else 0.0
        for scale in terms.scales:
            needed = terms.seconds(loads, scale, seeds)
            if scale >= lowest and spent + needed <= terms.budget:
                return Fitted(scale, seeds, needed)
    return Fitted(terms.scales[-1], terms.fewest_seeds, terms.least(loads), fits=False)


def larger_budget(seconds: float, asked: float, *, larger_defaults: float = 1.0) -> str:
    """'--budget 45m' for ``seconds``; a note follows where that budget has larger defaults than the ``asked`` one.

    ``larger_defaults``: how many times as long the study takes with these.
    """
    if not crosses_to_serious(seconds, asked):
        return f"--budget {duration_option(seconds)}"
    return f"--budget {duration_option(seconds * larger_defaults)}{LARGER_DEFAULTS}"


def crosses_to_serious(seconds: float, asked: float) -> bool:
    """Whether a budget of ``seconds`` brings larger defaults along, and the one that was ``asked`` for did not."""
    return asked < SERIOUS_BUDGET_SECONDS <= parse_duration(duration_option(seconds))
