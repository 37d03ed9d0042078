"""A session of a study: it carries out the runs that are missing, keeps the clock, and sets broken runs aside."""

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from globalconv.display.numbers import format_duration
from globalconv.display.progress import Phase, Progress
from globalconv.errors import InputError
from globalconv.study.design.budget import OVERRUN, SECOND_SEED_OVERRUN, Load
from globalconv.study.design.reductions import FEWEST_TELLING_SEEDS
from globalconv.study.runs.arm_runs import all_finals, chosen_rate, runs_of_arm, sweep_of
from globalconv.study.runs.directory import StudyDirectory, StudyState
from globalconv.study.runs.execute import execute_run
from globalconv.study.runs.probe_model import look_inside
from globalconv.study.runs.reading import BrokenFile
from globalconv.study.runs.run_directory import BrokenRun, RunDirectory
from globalconv.study.runs.workers import over_the_cores
from globalconv.study.spec import ArmPlan, RunSpec, StudyPlan, TaskPlan

PROBING_SECONDS = 2.0
"""A guess at how long a model is probed, for the time left."""


class Session:
    """What one process does for a study. Another may have begun it, and another may end it."""

    def __init__(
        self,
        directory: StudyDirectory,
        plan: StudyPlan,
        state: StudyState,
        *,
        progress: Progress,
        workers: int,
        started: float,
    ) -> None:
        self.directory = directory
        self.plan = plan
        self.state = state
        self.progress = progress
        self.workers = workers
        self._tasks = {task.task.name: task for task in plan.tasks}
        self._arms = {(task.task.name, arm.arm): arm for task in plan.tasks for arm in task.arms}
        self._ticked = started
        self._redone: set[str] = set()
        self._slowdown = 1.0
        """Measured over planned seconds of the runs of the present phase."""

    def tick(self) -> None:
        """Add the time since the last tick to the study's clock, on disk too."""
        now = time.monotonic()
        self.state.seconds += now - self._ticked
        self._ticked = now
        self.directory.write_state(self.state)

    def is_complete(self) -> bool:
        """Whether nothing is left to do: that it was so once is not enough, files may be gone."""
        if not self.state.complete:
            return False
        seeds = [seed for seed in self.plan.seeds if seed not in self.state.dropped_seeds]
        runs = [
            runs_of_arm(self.directory, self.plan, task, arm, seeds, []) for task, arm in self._planned_arms()
        ]
        if any(found.missing or found.sweeping for found in runs):
            self.state.complete = False
        return self.state.complete

    def complete(self) -> None:
        """Record that nothing is left to do. A session that did nothing adds nothing to the clock."""
        if not self.state.complete:
            self.state.complete = True
            self.tick()

    def sweep(self) -> None:
        """Train every learning rate of every arm, then what that makes due: wider grids, second seeds."""
        rounds = 0
        while specs := self._missing(self._sweep_round()):
            rounds += 1
            specs = sorted(specs, key=self._planned_seconds, reverse=True)
            seconds = sum(map(self._planned_seconds, specs)) / self.workers
            name = "Tuning" if rounds == 1 else f"Tuning, round {rounds}"
            with self.progress.phase(name, runs=len(specs), seconds=seconds) as phase:
                self._train(specs, phase)

    def _sweep_round(self) -> Iterator[RunSpec]:
        for task, arm in self._planned_arms():
            yield from sweep_of(self.directory, self.plan, task, arm)[1]

    def finals(self) -> None:
        """Train the final seeds, whole rounds at a time; drop the rounds that the clock does not hold."""
        rates = {(task.task.name, arm.arm): self._rate(task, arm) for task, arm in self._planned_arms()}
        rounds = {
            seed: specs
            for seed, specs in zip(self.plan.seeds, all_finals(self.plan, rates), strict=True)
            if seed not in self.state.dropped_seeds
        }
        everything = [spec for specs in rounds.values() for spec in specs]
        missing = self._missing(everything)
        if not missing:
            return
        seconds = sum(map(self._planned_seconds, missing)) / self.workers
        with self.progress.phase("Training", runs=len(everything), seconds=seconds) as phase:
            phase.advance(0.0, runs=len(everything) - len(missing))
            self._train(self._until_the_clock_runs_out(rounds, {spec.name for spec in missing}), phase)

    def _until_the_clock_runs_out(
        self, rounds: dict[int, list[RunSpec]], missing: set[str]
    ) -> Iterator[RunSpec]:
        budget = self.plan.budget_seconds or math.inf
        for number, (seed, specs) in enumerate(rounds.items()):
            todo = [spec for spec in specs if spec.name in missing]
            begun = len(todo) < len(specs)
            needed = self._slowdown * sum(map(self._planned_seconds, todo)) / self.workers
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

        Returns whether their weights could be used; of a run where they could not, nothing is left.
        """
        specs = []
        for task, arm in self._planned_arms():
            rate = self._rate(task, arm)
            finals = [
                self.plan.run(task, arm, rate=rate, seed=seed, purpose="final")
                for seed in self.plan.seeds
                if rate is not None
            ]
            results = ((spec, self.directory.result(spec, task)) for spec in finals)
            finished = [spec for spec, result in results if result and result.status == "finished"]
            if finished and not any(self._is_probed(spec) for spec in finished):
                specs.append(finished[0])
        if not specs:
            return True
        broken = {}
        seconds = len(specs) * PROBING_SECONDS / self.workers
        with self.progress.phase("Probing", runs=len(specs), seconds=seconds, unit="models") as phase:
            arguments = [(spec, self.directory.runs) for spec in specs]
            for index, why in over_the_cores(look_inside, arguments, workers=self.workers):
                if why is not None:
                    broken[index] = why
                phase.advance(PROBING_SECONDS / self.workers)
                self.tick()
        for index, why in broken.items():
            self._set_aside(specs[index], why)
        return not broken

    def _is_probed(self, spec: RunSpec) -> bool:
        try:
            return self._run(spec).inside() is not None
        except BrokenFile as error:
            self._tell_redone(spec, f"{error}; done again")
            return False

    def _planned_arms(self) -> Iterator[tuple[TaskPlan, ArmPlan]]:
        for task in self.plan.tasks:
            for arm in task.arms:
                yield task, arm

    def _rate(self, task: TaskPlan, arm: ArmPlan) -> float | None:
        """The learning rate of an arm's final runs."""
        return chosen_rate(arm, sweep_of(self.directory, self.plan, task, arm)[0])

    def _missing(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """The specs without a sound, complete run; broken directories are set aside and said."""
        missing = []
        for spec in specs:
            try:
                if self._run(spec).result() is None:
                    missing.append(spec)
            except BrokenRun as error:
                self._set_aside(spec, str(error))
                missing.append(spec)
        return missing

    def _run(self, spec: RunSpec) -> RunDirectory:
        return self.directory.run(spec, self._tasks[spec.task.name])

    def _set_aside(self, spec: RunSpec, why: str) -> None:
        run = self._run(spec)
        if spec.name in self._redone:
            raise InputError(
                f"{run.path} was written just now, and yet: {why}. Is the disk sound? The same command goes on with "
                "the study; or name an --out on another disk."
            )
        self._redone.add(spec.name)
        self._tell_redone(spec, f"{why}; redone ({run.set_aside().name} keeps the old)")

    def _tell_redone(self, spec: RunSpec, why: str) -> None:
        told = f"{spec.task.name}, {spec.arm}, seed {spec.seed}: {why}."
        self.progress.say(f"Broken run: {told}")
        self.state.redone.append(told)
        self.tick()

    def _train(self, specs: Iterable[RunSpec], phase: Phase) -> None:
        """Carry out ``specs``, which may be chosen while others run."""
        under_way: dict[int, RunSpec] = {}

        def arguments() -> Iterator[tuple[RunSpec, Path]]:
            for index, spec in enumerate(specs):
                under_way[index] = spec
                yield spec, self.directory.runs

        def share(spec: RunSpec) -> float:
            return self._planned_seconds(spec) / self.workers

        phase.under_way = lambda: sum(
            share(spec) * self._run(spec).share_done() for spec in list(under_way.values())
        )
        self._slowdown, started, worked = 1.0, time.monotonic(), 0.0
        for index, _ in over_the_cores(execute_run, arguments(), workers=self.workers):
            done = share(under_way.pop(index))
            phase.advance(done)
            self.tick()
            worked += done
            self._slowdown = (time.monotonic() - started) / worked

    def _planned_seconds(self, spec: RunSpec) -> float:
        """Seconds on one core that the warm-up expects of a run."""
        warm_up, training = self._arms[spec.task.name, spec.arm].warm_up, spec.training
        return Load.of(warm_up, steps=training.steps, evaluations=training.evaluations).seconds()
