"""A session of a study: it trains the runs that are missing, keeps the clock, and sets broken runs aside."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from globalconv.display.numbers import format_duration
from globalconv.display.progress import Phase, Progress
from globalconv.errors import BrokenFile, InputError
from globalconv.study.design.budget import OVERRUN, SECOND_SEED_OVERRUN, Load
from globalconv.study.design.reductions import FEWEST_TELLING_SEEDS
from globalconv.study.runs.arm_runs import arms_of
from globalconv.study.runs.directory import StudyDirectory, StudyState
from globalconv.study.runs.execute import execute_run
from globalconv.study.runs.probe_model import look_inside
from globalconv.study.runs.run_directory import RunDirectory
from globalconv.study.runs.workers import over_the_cores
from globalconv.study.spec import RunSpec, StudyPlan

PROBING_SECONDS = 2.0
"""A guess at how long a model is probed, for the time left."""


@dataclass
class Session:
    """What one process does for a study. Another may have begun it, and another may end it."""

    directory: StudyDirectory
    plan: StudyPlan
    state: StudyState
    _: KW_ONLY
    progress: Progress
    workers: int
    started: float
    """By time.monotonic."""

    def __post_init__(self) -> None:
        self._warm_ups = {
            (task.task.name, arm.arm): arm.warm_up for task in self.plan.tasks for arm in task.arms
        }
        self._ticked = self.started
        self._redone: set[Path] = set()
        self._slowdown = 1.0
        """Measured over planned seconds of the runs of the present phase."""

    def tick(self) -> None:
        """Add the time since the last tick to the study's clock, on disk too."""
        now = time.monotonic()
        self.state.seconds += now - self._ticked
        self._ticked = now
        self.directory.write_state(self.state)

    def is_complete(self) -> bool:
        """Whether nothing is left to do. That it was complete once is not enough: files may be gone."""
        if self.state.complete:
            arms = (arm.read(self._seeds()) for arm in arms_of(self.directory, self.plan))
            self.state.complete = not any(arm.missing or arm.due for arm in arms)
        return self.state.complete

    def complete(self) -> None:
        """Record that nothing is left to do. A session that did nothing adds nothing to the clock."""
        if not self.state.complete:
            self.state.complete = True
            self.tick()

    def sweep(self) -> None:
        """Train every learning rate of every arm, then what that makes due: wider grids, second seeds."""
        rounds = 0
        while runs := self._missing(run for arm in arms_of(self.directory, self.plan) for run in arm.due):
            rounds += 1
            runs.sort(key=self._planned_seconds, reverse=True)
            name = "Tuning" if rounds == 1 else f"Tuning, round {rounds}"
            with self.progress.phase(name, runs=len(runs), seconds=sum(map(self._share, runs))) as phase:
                self._train(runs, phase)

    def finals(self) -> None:
        """Train the final seeds, whole rounds at a time; drop the rounds that the clock does not hold."""
        arms = list(arms_of(self.directory, self.plan))
        rounds = {seed: [run for arm in arms for run in arm.finals([seed])] for seed in self._seeds()}
        for runs in rounds.values():  # the longest first, so that no core waits at the end
            runs.sort(key=self._planned_seconds, reverse=True)
        everything = [run for runs in rounds.values() for run in runs]
        missing = self._missing(everything)
        if not missing:
            return
        with self.progress.phase(
            "Training", runs=len(everything), seconds=sum(map(self._share, missing))
        ) as phase:
            phase.advance(0.0, runs=len(everything) - len(missing))
            self._train(self._until_the_clock_runs_out(rounds, missing), phase)

    def _until_the_clock_runs_out(
        self, rounds: dict[int, list[RunDirectory]], missing: list[RunDirectory]
    ) -> Iterator[RunDirectory]:
        budget = self.plan.budget_seconds or math.inf
        for number, (seed, runs) in enumerate(rounds.items()):
            todo = [run for run in runs if run in missing]
            begun = len(todo) < len(runs)
            needed = self._slowdown * sum(map(self._share, todo))
            left = budget - self.state.seconds
            late = OVERRUN if number >= FEWEST_TELLING_SEEDS else SECOND_SEED_OVERRUN
            # The first round is always run: without it there is no answer at all. So is one that an
            # interrupted session had begun: half a seed compares nothing.
            if todo and number > 0 and not begun and needed > left + late * budget:
                self.state.dropped_seeds = [s for s in self.plan.seeds if s >= seed]
                self.progress.say(
                    f"The clock: {format_duration(max(left, 0.0))} of the budget are left and a seed takes "
                    f"{format_duration(needed)}; seeds {self.state.dropped_seeds} are dropped."
                )
                return
            yield from todo

    def probe(self) -> bool:
        """Probe one trained model of every arm: that of the first seed that finished.

        Returns whether their weights could be used; a run whose weights cannot be used is set aside.
        """
        runs = []
        for arm in arms_of(self.directory, self.plan):
            finished = arm.finals(arm.read(self.plan.seeds).finished)
            if finished and not any(map(self._is_probed, finished)):
                runs.append(finished[0])
        if not runs:
            return True
        broken = {}
        seconds = len(runs) * PROBING_SECONDS / self.workers
        with self.progress.phase("Probing", runs=len(runs), seconds=seconds, unit="models") as phase:
            arguments = [(run.spec, self.directory.runs) for run in runs]
            for index, why in over_the_cores(look_inside, arguments, workers=self.workers):
                if why is not None:
                    broken[index] = why
                phase.advance(PROBING_SECONDS / self.workers)
                self.tick()
        for index, why in broken.items():
            self._set_aside(runs[index], why)
        return not broken

    def _is_probed(self, run: RunDirectory) -> bool:
        try:
            return run.inside() is not None
        except BrokenFile as error:
            self._report_redone(run, f"{error}; done again")
            return False

    def _seeds(self) -> list[int]:
        return [seed for seed in self.plan.seeds if seed not in self.state.dropped_seeds]

    def _missing(self, runs: Iterable[RunDirectory]) -> list[RunDirectory]:
        """The runs without a sound result; broken directories are set aside and reported."""
        missing = []
        for run in runs:
            try:
                if run.result() is None:
                    missing.append(run)
            except BrokenFile as error:
                self._set_aside(run, str(error))
                missing.append(run)
        return missing

    def _set_aside(self, run: RunDirectory, why: str) -> None:
        if run.path in self._redone:
            raise InputError(
                f"{run.path} was written just now, and yet: {why}. Is the disk sound? The same command goes on with "
                "the study; or name an --out on another disk."
            )
        self._redone.add(run.path)
        self._report_redone(run, f"{why}; redone ({run.set_aside().name} keeps the old)")

    def _report_redone(self, run: RunDirectory, why: str) -> None:
        message = f"{run.spec.task.name}, {run.spec.arm}, seed {run.spec.seed}: {why}."
        self.progress.say(f"Broken run: {message}")
        self.state.redone.append(message)
        self.tick()

    def _train(self, runs: Iterable[RunDirectory], phase: Phase) -> None:
        """Carry out ``runs``, which may be chosen while others run."""
        under_way: dict[int, RunDirectory] = {}

        def arguments() -> Iterator[tuple[RunSpec, Path]]:
            for index, run in enumerate(runs):
                under_way[index] = run
                yield run.spec, self.directory.runs

        phase.under_way = lambda: sum(self._share(run) * run.share_done() for run in list(under_way.values()))
        self._slowdown, started, worked = 1.0, time.monotonic(), 0.0
        for index, _ in over_the_cores(execute_run, arguments(), workers=self.workers):
            done = self._share(under_way.pop(index))
            phase.advance(done)
            self.tick()
            worked += done
            self._slowdown = (time.monotonic() - started) / worked

    def _share(self, run: RunDirectory) -> float:
        """The seconds by which a run makes the study longer."""
        return self._planned_seconds(run) / self.workers

    def _planned_seconds(self, run: RunDirectory) -> float:
        """The seconds on one core that the warm-up expects of a run."""
        training = run.spec.training
        warm_up = self._warm_ups[run.spec.task.name, run.spec.arm]
        return Load.of(warm_up, steps=training.steps, evaluations=training.evaluations).seconds()
