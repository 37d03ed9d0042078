"""The runs of an arm: those that are due, and what lies on disk of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from globalconv.study.design.sweep import SWEEP_SEEDS, Sweep, Trial
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.reading import BrokenFile
from globalconv.study.runs.run_directory import BrokenRun, RunResult
from globalconv.study.schema import ModelInside
from globalconv.study.spec import ArmPlan, RunSpec, StudyPlan, TaskPlan
from globalconv.training.fit import Evaluation


def sweep_of(
    directory: StudyDirectory, plan: StudyPlan, task: TaskPlan, arm: ArmPlan
) -> tuple[Sweep | None, list[RunSpec]]:
    """What the sweep's complete runs found, each followed by what it made due, and the runs that are due now.

    A study that does not sweep has neither; and no run is due when the sweep is over.
    """
    if not plan.sweep:
        return None, []
    scores: dict[float, list[float | None]] = {}
    sweep = Sweep(scores, task.higher_is_better, task.margin / 2, confirmed=not plan.coarse_sweep)
    trials = [Trial(rate, SWEEP_SEEDS[0]) for rate in arm.rates]
    while trials:
        specs = [plan.run(task, arm, rate=t.rate, seed=t.seed, purpose="sweep") for t in trials]
        results = [directory.result(spec, task) for spec in specs]
        for trial, result in zip(trials, results, strict=True):
            if result is not None:
                score = result.validation.get(task.metric) if result.status == "finished" else None
                scores.setdefault(trial.rate, []).append(score)
        due = [spec for spec, result in zip(specs, results, strict=True) if result is None]
        if due:
            return sweep, due
        trials = [sweep.next_trial] if sweep.next_trial else []
    return sweep, []


def chosen_rate(arm: ArmPlan, sweep: Sweep | None) -> float | None:
    """The learning rate of the final runs: swept, or shipped. None if the sweep found none that trains."""
    return sweep.best if sweep else arm.rates[0]


def all_finals(plan: StudyPlan, rates: Mapping[tuple[str, str], float | None]) -> list[list[RunSpec]]:
    """The final runs, one list per seed, longest run first so that no core waits at the end.

    ``rates``: (task, arm) -> learning rate; None where the sweep found none, and nothing is run.
    """
    rounds = []
    for seed in plan.seeds:
        timed = [
            (
                arm.steps * arm.warm_up.seconds_per_step,
                plan.run(task, arm, rate=rate, seed=seed, purpose="final"),
            )
            for task in plan.tasks
            for arm in task.arms
            if (rate := rates[task.task.name, arm.arm]) is not None
        ]
        rounds.append([spec for _, spec in sorted(timed, key=lambda item: -item[0])])
    return rounds


@dataclass
class ArmRuns:
    """What lies on disk of one arm on one task."""

    plan: ArmPlan
    sweep: Sweep | None
    """None: its rate is a shipped one."""
    sweeping: bool
    """Runs of its sweep are missing, so that it may still find another rate."""
    rate: float | None
    finished: dict[int, RunResult] = field(default_factory=dict)
    curves: dict[int, list[Evaluation]] = field(default_factory=dict)
    diverged: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """One message for each run that cannot be read. The study's command would redo it."""
    missing: list[int] = field(default_factory=list)
    inside: ModelInside | None = None


def runs_of_arm(
    directory: StudyDirectory,
    plan: StudyPlan,
    task: TaskPlan,
    arm: ArmPlan,
    seeds: list[int],
    used: list[RunResult],
) -> ArmRuns:
    """What lies in ``directory`` of an arm. The results that were read are added to ``used``."""
    sweep, due = sweep_of(directory, plan, task, arm)
    used += _sweep_results(directory, plan, task, arm, sweep)
    found = ArmRuns(arm, sweep, bool(due), chosen_rate(arm, sweep))
    for spec in due:
        _sound_result(directory, spec, task, found)
    if found.rate is None:
        return found
    for seed in seeds:
        spec = plan.run(task, arm, rate=found.rate, seed=seed, purpose="final")
        result = _sound_result(directory, spec, task, found)
        if result is None:
            found.missing.append(seed)
            continue
        used.append(result)
        if result.status == "diverged":
            found.diverged.append(seed)
        else:
            found.finished[seed] = result
            found.curves[seed] = directory.run(spec, task).curve()
            found.inside = found.inside or _sound_inside(directory, spec, task, found)
    return found


def _sound_inside(
    directory: StudyDirectory, spec: RunSpec, task: TaskPlan, found: ArmRuns
) -> ModelInside | None:
    """What probes found; None where nobody looked, or where the file is broken, which ``found`` then says."""
    try:
        return directory.run(spec, task).inside()
    except BrokenFile as error:
        found.broken.append(f"seed {spec.seed}: {error}")
        return None


def _sound_result(
    directory: StudyDirectory, spec: RunSpec, task: TaskPlan, found: ArmRuns
) -> RunResult | None:
    """The result of a run; None where there is none yet, or where the run is broken, which ``found`` then says."""
    try:
        return directory.run(spec, task).result()
    except BrokenRun as error:
        swept = f"sweep at learning rate {spec.training.learning_rate:g}, " if spec.purpose == "sweep" else ""
        found.broken.append(f"{swept}seed {spec.seed}: {error}")
        return None


def _sweep_results(
    directory: StudyDirectory, plan: StudyPlan, task: TaskPlan, arm: ArmPlan, sweep: Sweep | None
) -> Iterator[RunResult]:
    for rate, scores in (sweep.scores if sweep else {}).items():
        for seed in SWEEP_SEEDS[: len(scores)]:
            result = directory.result(plan.run(task, arm, rate=rate, seed=seed, purpose="sweep"), task)
            assert result is not None
            yield result
