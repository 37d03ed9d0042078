"""From run directories to the answer: every number of a report is read or computed here, none is typed."""

from collections.abc import Iterable

from globalconv.display.numbers import format_duration
from globalconv.study.answer.advice import Given
from globalconv.study.answer.methods import describe_methods
from globalconv.study.answer.sentence import QUESTION
from globalconv.study.answer.task_answer import answer_task
from globalconv.study.config import to_toml
from globalconv.study.design.budget import OVERRUN
from globalconv.study.request import options_of
from globalconv.study.runs.arm_runs import ArmRuns, runs_of_arm
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.reading import BrokenFile
from globalconv.study.runs.run_directory import RunResult
from globalconv.study.schema import (
    SCHEMA_VERSION,
    StudyAnswer,
)
from globalconv.study.spec import StudyPlan


def gather(directory: StudyDirectory, plan: StudyPlan) -> StudyAnswer:
    """The answer that the runs in ``directory`` give now, however many of them are there."""
    state = directory.state(plan)
    seeds = [seed for seed in plan.seeds if seed not in state.dropped_seeds]
    used: list[RunResult] = []
    num_done = 0
    num_planned = len(seeds) * sum(len(task.arms) for task in plan.tasks)
    failures = list(state.redone)
    environment: dict[str, str] = {}
    found_on = {
        task.task.name: {arm.arm: runs_of_arm(directory, plan, task, arm, seeds, used) for arm in task.arms}
        for task in plan.tasks
    }
    lost = any(found.missing or found.sweeping for runs in found_on.values() for found in runs.values())
    complete = state.complete and not lost  # runs may have gone since it was
    given = Given.to(plan, state.model_copy(update={"complete": complete}))
    tasks = []
    for task in plan.tasks:
        runs = found_on[task.task.name]
        num_done += sum(len(found.finished) + len(found.diverged) for found in runs.values())
        for arm, found in runs.items():
            failures += [f"{task.task.name}: {arm} diverged with seed {seed}." for seed in found.diverged]
            failures += [f"{task.task.name}: {arm}, {told}; it is not counted." for told in found.broken]
            failures += [
                f"{task.task.name}: {arm} diverged at learning rate {rate:g} in the sweep."
                for rate, score in (found.sweep.means if found.sweep else {}).items()
                if score is None
            ]
            for seed, result in found.finished.items():
                failures += [f"{task.task.name}: {arm}, seed {seed}: {notice}." for notice in result.notices]
                spec = plan.run(task, found.plan, rate=found.rate or 0.0, seed=seed, purpose="final")
                environment |= directory.run(spec, task).environment()
        tasks.append(answer_task(plan, task, runs, given))
    cuts = list(plan.cuts)
    if state.dropped_seeds:
        cuts.append(
            f"The clock ran out: seed(s) {', '.join(map(str, state.dropped_seeds))} of every arm were dropped."
        )
    planned = plan.budget_seconds or plan.planned_seconds
    if state.complete and state.seconds > (1 + OVERRUN) * planned:
        cuts.append(
            f"It took {format_duration(state.seconds)} and not {format_duration(planned)}. The "
            "plan is an estimate: the machine may have been slower than when its speed was measured, or have had fewer "
            "workers; a sweep wider than most; runs done again; or a round of them had begun."
        )
    try:
        costs = directory.cost()
    except BrokenFile as error:
        costs = None
        failures.append(f"{error}; it is measured again when the study's command goes on.")
    return StudyAnswer(
        schema_version=SCHEMA_VERSION,
        globalconv_version=plan.globalconv_version,
        question=QUESTION,
        command=plan.command,
        config=to_toml(options_of(plan.request)),
        started=plan.started,
        training_seconds=sum(result.seconds for result in used),
        wall_seconds=state.seconds,
        budget_seconds=planned,
        num_runs=len(used),
        seeds=seeds,
        tasks=tasks,
        cost=costs,
        unfinished=None
        if complete
        else f"{num_done} of {num_planned} final runs are done{_and_sweeps(found_on.values())}; the study's command "
        "goes on with it.",
        cuts=cuts,
        failures=failures,
        environment=environment,
        methods=describe_methods(plan),
    )


def _and_sweeps(tasks: Iterable[dict[str, ArmRuns]]) -> str:
    sweeping = any(found.sweeping for runs in tasks for found in runs.values())
    return ", and runs of a sweep are missing" if sweeping else ""
