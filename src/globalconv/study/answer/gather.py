"""From run directories to the answer: every number of a report is read or computed here, none is typed."""

from collections.abc import Iterator

from globalconv.display.numbers import format_duration
from globalconv.errors import BrokenFile
from globalconv.study.answer.advice import Given
from globalconv.study.answer.methods import describe_methods
from globalconv.study.answer.sentence import QUESTION
from globalconv.study.answer.task_answer import answer_task
from globalconv.study.design.budget import OVERRUN
from globalconv.study.request import options_of, to_toml
from globalconv.study.runs.arm_runs import ArmRuns, arms_of
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.schema import SCHEMA_VERSION, StudyAnswer
from globalconv.study.spec import StudyPlan


def gather(directory: StudyDirectory, plan: StudyPlan) -> StudyAnswer:
    """The answer that the runs in ``directory`` give now, however many of them are there."""
    state = directory.state(plan)
    seeds = [seed for seed in plan.seeds if seed not in state.dropped_seeds]
    arms = [arm.read(seeds) for arm in arms_of(directory, plan)]
    failures = list(state.redone)
    environment: dict[str, str] = {}
    for arm in arms:
        failures += _failures(arm)
        for run in arm.finals(arm.finished):
            environment |= run.environment()
    complete = state.complete and not any(
        arm.missing or arm.due for arm in arms
    )  # runs may have gone since it was
    given = Given.to(plan, state.model_copy(update={"complete": complete}))
    tasks = [
        answer_task(plan, task, {arm.plan.arm: arm for arm in arms if arm.task is task}, given)
        for task in plan.tasks
    ]
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
    used = [result for arm in arms for result in arm.used]
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
        unfinished=None if complete else _unfinished(arms, len(seeds)),
        cuts=cuts,
        failures=failures,
        environment=environment,
        methods=describe_methods(plan),
    )


def _failures(arm: ArmRuns) -> Iterator[str]:
    """A sentence for each run that failed or has something to report."""
    task, name = arm.task.task.name, arm.plan.arm
    yield from (f"{task}: {name} diverged with seed {seed}." for seed in arm.diverged)
    yield from (f"{task}: {name}, {message}; it is not counted." for message in arm.broken)
    for rate, score in (arm.sweep.means if arm.sweep else {}).items():
        if score is None:
            yield f"{task}: {name} diverged at learning rate {rate:g} in the sweep."
    for seed, result in arm.finished.items():
        yield from (f"{task}: {name}, seed {seed}: {notice}." for notice in result.notices)


def _unfinished(arms: list[ArmRuns], num_seeds: int) -> str:
    done = sum(len(arm.finished) + len(arm.diverged) for arm in arms)
    sweeps = ", and runs of a sweep are missing" if any(arm.due for arm in arms) else ""
    return (
        f"{done} of {num_seeds * len(arms)} final runs are done{sweeps}; the study's command goes on with it."
    )
