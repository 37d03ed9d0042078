"""The runs of an arm: those that are due, and what lies on disk of them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self, TypeVar

from globalconv.errors import BrokenFile
from globalconv.study.design.sweep import SWEEP_SEEDS, Sweep, Trial
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.run_directory import RunDirectory, RunResult
from globalconv.study.schema import ModelInside
from globalconv.study.spec import ArmPlan, Purpose, StudyPlan, TaskPlan
from globalconv.training.fit import Evaluation

Found = TypeVar("Found")


@dataclass
class ArmRuns:
    """One arm on one task: the state of its sweep, and, once ``read``, its final runs."""

    directory: StudyDirectory
    study: StudyPlan
    task: TaskPlan
    plan: ArmPlan
    sweep: Sweep | None = None
    """What the complete runs of the sweep found, each followed by what it made due. None: the study does not sweep."""
    due: list[RunDirectory] = field(default_factory=list)
    """The runs of the sweep that come next; none once it is over. Until then it may find another rate."""
    used: list[RunResult] = field(default_factory=list)
    """The results of all runs that were read, those of the sweep first."""
    finished: dict[int, RunResult] = field(default_factory=dict)
    """The results of final runs by their seeds."""
    curves: dict[int, list[Evaluation]] = field(default_factory=dict)
    diverged: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """A message for each run that cannot be read. The study's command would train it again."""
    inside: ModelInside | None = None

    def __post_init__(self) -> None:
        if not self.study.sweep:
            return
        scores: dict[float, list[float | None]] = {}
        confirmed = not self.study.coarse_sweep
        self.sweep = Sweep(scores, self.task.higher_is_better, self.task.margin / 2, confirmed=confirmed)
        trials: list[Trial | None] = [Trial(rate, SWEEP_SEEDS[0]) for rate in self.plan.rates]
        while not self.due and trials != [None]:
            for trial in filter(None, trials):
                run = self._run(trial.rate, trial.seed, "sweep")
                result = self._sound(run, RunDirectory.result)
                if result is None:
                    self.due.append(run)
                    continue
                self.used.append(result)
                score = result.validation.get(self.task.metric) if result.status == "finished" else None
                scores.setdefault(trial.rate, []).append(score)
            trials = [None if self.due else self.sweep.next_trial]

    @property
    def rate(self) -> float | None:
        """The learning rate of the final runs: swept, or shipped. None if the sweep found none that trains."""
        return self.sweep.best if self.sweep else self.plan.rates[0]

    def finals(self, seeds: Iterable[int]) -> list[RunDirectory]:
        """The final runs with these seeds; none where no learning rate trains."""
        return [] if self.rate is None else [self._run(self.rate, seed, "final") for seed in seeds]

    def read(self, seeds: Iterable[int]) -> Self:
        """Read the final runs with these seeds."""
        for run in self.finals(seeds):
            seed, result = run.spec.seed, self._sound(run, RunDirectory.result)
            if result is None:
                self.missing.append(seed)
                continue
            self.used.append(result)
            if result.status == "diverged":
                self.diverged.append(seed)
            else:
                self.finished[seed] = result
                self.curves[seed] = run.curve()
                self.inside = self.inside or self._sound(run, RunDirectory.inside)
        return self

    def _run(self, rate: float, seed: int, purpose: Purpose) -> RunDirectory:
        spec = self.study.run(self.task, self.plan, rate=rate, seed=seed, purpose=purpose)
        return RunDirectory(self.directory.runs, spec, self.task.metric)

    def _sound(self, run: RunDirectory, read: Callable[[RunDirectory], Found | None]) -> Found | None:
        """What ``read`` finds; None where there is nothing yet, or where a file is broken."""
        try:
            return read(run)
        except BrokenFile as error:
            spec = run.spec
            swept = f"sweep at learning rate {spec.training.learning_rate:g}, " * (spec.purpose == "sweep")
            self.broken.append(f"{swept}seed {spec.seed}: {error}")
            return None


def arms_of(directory: StudyDirectory, plan: StudyPlan) -> Iterator[ArmRuns]:
    """Every arm of every task, as it is on disk now."""
    for task in plan.tasks:
        for arm in task.arms:
            yield ArmRuns(directory, plan, task, arm)
