"""How many steps and seeds a budget of wall-clock seconds holds, and what is cut to make them fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from globalconv.errors import InputError
from globalconv.quantities import duration_option, format_duration, parse_duration
from globalconv.study.presets import SERIOUS_BUDGET_SECONDS
from globalconv.study.spec import WarmUp
from globalconv.study.sweep import START_SIZE, SWEEP_SEEDS

FEWEST_SEEDS = 3
COST_SECONDS = 25.0
"""Set aside for the cost curves, a look inside the trained models, and the report."""
WIDENING = 1.3
"""Runs of a sweep, over those of a grid that does not widen and whose best rate proves to be it: some do otherwise."""
LATER_TRIALS = WIDENING * (START_SIZE + len(SWEEP_SEEDS) - 1) - START_SIZE
"""Runs of an arm's sweep after its grid, in the mean. Each waits for what the one before it found."""
PARALLEL_EFFICIENCY = 0.97
"""The last runs of a round run alone. That neighbours slow each other down is in the warm-ups already."""
LADDER = tuple(2 ** (k / 8) for k in range(16, -33, -1))
"""Factors by which all steps may be scaled, from 4 down to 1/16."""
FEWER_SEEDS_BELOW = 0.35
"""Scaled down further than this, fewer seeds cost less knowledge than fewer steps."""

FEWEST_TELLING_SEEDS = 2
"""One alone has no interval, and so never a verdict: no one is sent there."""

OVERRUN = 0.1
"""Of the budget: so late may a study end before a seed is dropped. A machine that is slow for a minute must not
cost a third of what three seeds can tell."""

SLACK = 1.1
"""The budget that is advised, over what it must hold by this warm-up: the next one may be slower."""
FIRST_GUESS = 300.0
"""The default budget, which is named where nothing has been measured yet."""

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
        """The load of a run with so many steps, and with an evaluation on either split of the best weights besides."""
        return cls(warm_up.seconds_per_step, (evaluations + 2) * warm_up.seconds_per_evaluation, steps)

    def seconds(self, scale: float = 1.0) -> float:
        """Of the whole run, with ``scale`` times the steps."""
        return scale * self.steps * self.seconds_per_step + self.seconds_of_evaluations


@dataclass(frozen=True)
class Terms:
    """What was asked, as far as it decides what fits. ``fixed_...``: the user's own, which are not touched."""

    budget: float
    """Seconds for the whole study."""
    workers: int
    sweep: bool
    seeds: int
    fixed_sweep: bool
    fixed_seeds: bool
    fixed_steps: bool

    @property
    def scales(self) -> tuple[float, ...]:
        """The factors that all steps may have, largest first."""
        return (1.0,) if self.fixed_steps else LADDER

    @property
    def fewest_seeds(self) -> int:
        """As many as there are at least."""
        return self.seeds if self.fixed_seeds else min(self.seeds, FEWEST_SEEDS)

    def seconds(self, loads: Sequence[Load], scale: float, seeds: int) -> float:
        """What is left to do, once measured, takes so long."""
        runs = [load.seconds(scale) for load in loads]
        swept = self._side_by_side(START_SIZE * runs) + LATER_TRIALS * self._side_by_side(runs)
        return self._side_by_side(seeds * runs) + (swept if self.sweep else 0.0) + COST_SECONDS

    def _side_by_side(self, runs: Sequence[float]) -> float:
        """How long the workers are busy with ``runs``, at least.

        Of the longest k x workers + 1, one must wait for k others: many workers do not shorten a round of few runs.
        """
        waiting = enumerate(sorted(runs, reverse=True)[:: self.workers], start=1)
        # Rounded once, so that it does not depend on the order in which the arms were measured.
        shared = math.fsum(runs) / (self.workers * PARALLEL_EFFICIENCY)
        return max(shared, *(rounds * seconds for rounds, seconds in waiting)) if runs else 0.0

    @property
    def with_larger_defaults(self) -> "Terms":
        """The same at a budget from SERIOUS_BUDGET_SECONDS on, as far as it decides what fits there at the least."""
        return replace(self, sweep=self.sweep or not self.fixed_sweep)

    def least(self, loads: Sequence[Load]) -> float:
        """What it takes with the fewest steps and seeds."""
        return self.seconds(loads, self.scales[-1], self.fewest_seeds)


@dataclass(frozen=True)
class Fitted:
    """What fits: the factor on all steps, the seeds, the seconds that training takes, what was cut."""

    scale: float
    seeds: int
    seconds: float
    cuts: tuple[str, ...]


def fit_budget(loads: Sequence[Load], terms: Terms, *, spent: float) -> Fitted:
    """The most steps, on a ladder of eighth powers of two, that fit with the seeds asked for.

    ``spent``: seconds of the budget that are gone. Where the steps that fit are less than about a third of
    the usual ones, three seeds are enough. Raises InputError if nothing fits, and names a budget that would do.
    """
    check_spent(loads, terms, spent=spent, arms=len(loads))
    for seeds in sorted({terms.seeds, terms.fewest_seeds}, reverse=True):
        lowest = FEWER_SEEDS_BELOW if seeds > terms.fewest_seeds and not terms.fixed_steps else 0.0
        for scale in terms.scales:
            needed = terms.seconds(loads, scale, seeds)
            if scale >= lowest and spent + needed <= terms.budget:
                return Fitted(scale, seeds, needed, _cuts(loads, terms, scale, seeds, spent))
    raise AssertionError("the last of these is the least, which fits")


def check_spent(loads: Sequence[Load], terms: Terms, *, spent: float, arms: int | None) -> None:
    """Raise InputError as soon as nothing can fit any more, whatever is still to be measured.

    ``loads``: the arms measured so far, of ``arms`` (None: not known yet). The others cost something too, and
    time only goes on: what is refused here, `fit_budget` would refuse at the end.
    """
    least = terms.least(loads)
    if spent + least <= terms.budget:
        return
    too_small = f"--budget {terms.budget:g}s is too small"
    if terms.budget < COST_SECONDS:
        raise InputError(
            f"{too_small} for any study: {COST_SECONDS:g} s of it are set aside for the cost curves, a look inside "
            f"the trained models and the report. Give it --budget {duration_option(FIRST_GUESS)}, the default, "
            "or more."
        )
    if not loads:
        guess = larger_budget(max(FIRST_GUESS, 2 * terms.budget), terms.budget)
        told = (
            f"{too_small}: {spent:.0f} s are spent before any arm's speed was known, and {COST_SECONDS:g} s are set "
            "aside for the cost curves and the report. As a guess, for nothing is measured yet, give it at least "
            f"{guess}."
        )
    elif len(loads) == arms:
        enough = _enough(terms, lambda terms: spent + terms.least(loads))
        told = (
            f"{too_small}: {spent:.0f} s are spent on reading the data and measuring the speed, and the least that "
            f"this study then needs here is {least:.0f} s. Give it at least {larger_budget(enough, terms.budget)}."
        )
    else:
        assert arms is not None
        enough = _enough(terms, lambda terms: _estimate(loads, terms, spent, arms))
        told = (
            f"{too_small}: after {spent:.0f} s the speed of {len(loads)} of {arms} arms is measured, and the least "
            f"that a study of these alone then needs here is {least:.0f} s. By an estimate that takes the other arms "
            f"to be like these, give it about {larger_budget(enough, terms.budget)}."
        )
    raise InputError(f"{told} It needs less with {_ways_out(loads, terms)}.")


def larger_budget(seconds: float, asked: float, *, larger_defaults: float = 1.0) -> str:
    """'--budget 45m' for ``seconds``, and what it brings along where the ``asked`` ones did not.

    ``larger_defaults``: how many times as many it takes with that.
    """
    if not _crosses(seconds, asked):
        return f"--budget {duration_option(seconds)}"
    return f"--budget {duration_option(seconds * larger_defaults)}{LARGER_DEFAULTS}"


def _crosses(seconds: float, asked: float) -> bool:
    return asked < SERIOUS_BUDGET_SECONDS <= parse_duration(duration_option(seconds))


def _enough(terms: Terms, needed: Callable[[Terms], float]) -> float:
    """Seconds of a budget that holds what is ``needed``, also where it is one for which rates are swept by default."""
    enough = SLACK * needed(terms)
    if _crosses(enough, terms.budget):
        enough = SLACK * needed(terms.with_larger_defaults)
    return enough


def _estimate(loads: Sequence[Load], terms: Terms, spent: float, arms: int) -> float:
    """Seconds of the whole study at least, if the arms that are not measured yet cost what the others do."""
    rounds = math.ceil(arms / terms.workers) / math.ceil(len(loads) / terms.workers)
    return spent * rounds + COST_SECONDS + (terms.least(loads) - COST_SECONDS) * arms / len(loads)


def _ways_out(loads: Sequence[Load], terms: Terms) -> str:
    """What makes a study cost less, in words."""
    ways = ["fewer tasks or arms", "smaller sizes"]
    if terms.fixed_steps:
        ways.append("fewer --steps")
    with_two = replace(terms, seeds=FEWEST_TELLING_SEEDS, fixed_seeds=True)
    if terms.fewest_seeds > FEWEST_TELLING_SEEDS and with_two.least(loads) < terms.least(loads):
        fewer = "fewer --seeds" if terms.fixed_seeds else f"--seeds {FEWEST_TELLING_SEEDS}"
        ways.append(f"{fewer} (which tell less than {terms.fewest_seeds})")
    if terms.sweep:
        ways.append("--no-sweep (and rates that are not tuned)")
    return f"{', '.join(ways[:-1])} or {ways[-1]}"


def _cuts(loads: Sequence[Load], terms: Terms, scale: float, seeds: int, spent: float) -> tuple[str, ...]:
    cuts = []
    if seeds < terms.seeds:
        cuts.append(f"{seeds} seeds instead of {terms.seeds}, to fit the budget.")
    if scale < 1:
        whole = spent + terms.seconds(loads, 1.0, seeds)
        larger = LARGER_DEFAULTS if _crosses(whole, terms.budget) else ""
        cuts.append(
            f"Every run has {scale:.0%} of the usual steps, to fit the budget; with all of them the study would "
            f"take about {format_duration(whole)} here{larger}."
        )
    return tuple(cuts)
