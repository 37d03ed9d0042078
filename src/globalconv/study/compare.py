"""The study itself: plan, sweep, train, measure costs, answer. It can be killed and resumed anywhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from globalconv.display.numbers import format_duration
from globalconv.display.progress import Progress
from globalconv.errors import BrokenFile
from globalconv.measure.crossover import crossover_sentence
from globalconv.measure.curves import measure_cost
from globalconv.mixers.catalogue import looks_one_way
from globalconv.study import schema
from globalconv.study.answer.gather import gather
from globalconv.study.design.plan import make_plan
from globalconv.study.report import rehearse
from globalconv.study.runs.directory import StudyDirectory, StudyState
from globalconv.study.runs.execute import check_sources, execute_warm_up, one_thread, rebuild_task
from globalconv.study.runs.workers import over_the_cores
from globalconv.study.session import Session
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp

COST_LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096, 8192]
COST_MEASURING_SECONDS = 8.0
WARM_UP_SECONDS = 4.0
"""A guess at how long an arm is measured, for the time left."""


def compare(
    request: StudyRequest,
    out: Path,
    *,
    command: str,
    workers: int,
    progress: Progress,
    write: Callable[[schema.StudyAnswer, Path], object],
) -> schema.StudyAnswer:
    """Carry out the study of ``request`` in ``out``, or go on with it, and return its answer.

    ``write`` is what will make a report of it, and is tried before anything is trained.

    Raises InputError before any training for whatever cannot work, and leaves every finished run on
    disk when it is interrupted.
    """
    directory = StudyDirectory(out)
    directory.create()
    with one_thread(), directory.lock():  # all of it: a task is built once per process
        started = time.monotonic()
        try:
            directory.prepare()
            found = directory.plan_of(request)
            plan = found or _new_plan(request, directory, command=command, workers=workers, progress=progress)
            if found is None:
                directory.check_space(plan)
                rehearse(gather(directory, plan), out, write)
                directory.write_plan(plan)
        except BaseException:
            directory.discard()
            raise
        # A state without a plan belongs to a plan that was lost.
        state = directory.state(plan) if found else StudyState()
        session = Session(directory, plan, state, progress=progress, workers=workers, started=started)
        if found is None:
            session.tick()
        else:
            for task in plan.tasks:
                rebuild_task(task.task)
                for arm in task.arms:
                    check_sources(arm.model)
            done = "is complete; its report is rebuilt" if session.is_complete() else "goes on"
            progress.say(f"The study in {out} {done}.")
        session.sweep()
        session.finals()
        while not session.probe():
            session.finals()
        _measure_costs(session)
        session.complete()
        return gather(directory, plan)


def _new_plan(
    request: StudyRequest, directory: StudyDirectory, *, command: str, workers: int, progress: Progress
) -> StudyPlan:
    def warm_ups(specs: Sequence[RunSpec], until: float) -> Iterator[tuple[int, WarmUp]]:
        progress.say("Measuring what a step of each arm costs here ...")
        seconds = len(specs) * WARM_UP_SECONDS / workers
        with progress.phase("Measuring", runs=len(specs), seconds=seconds, unit="arms") as phase:
            arguments = [(spec, until) for spec in specs]
            for found in over_the_cores(execute_warm_up, arguments, workers=workers):
                phase.advance(seconds / len(specs))
                yield found

    plan = make_plan(request, command=command, workers=workers, warm_ups=warm_ups)
    num_arms = sum(len(task.arms) for task in plan.tasks)
    progress.say(
        f"{num_arms} arms on {len(plan.tasks)} task(s), {len(plan.seeds)} seed(s)"
        f"{', learning rates tuned first' if plan.sweep else ''}: about "
        f"{format_duration(plan.estimated_seconds)}, in {directory.path}."
    )
    for cut in plan.cuts:
        progress.say(f"Cut: {cut}")
    for task in plan.tasks:
        progress.say(f"Data: {task.description}")
        for arm, reason in task.left_out.items():
            progress.say(f"Left out of {task.task.name}: {arm} ({reason}).")
        for notice in task.notices:
            progress.say(f"Note on {task.task.name}: {notice}")
    return plan


def _measure_costs(session: Session) -> None:
    """Time the mixers alone against length."""
    directory, plan, progress = session.directory, session.plan, session.progress
    try:
        if directory.cost() is not None:
            return
    except BrokenFile as error:
        progress.say(f"{error}; it is measured again.")
    widest = max(plan.tasks, key=lambda task: task.arms[0].model.width)
    width = widest.arms[0].model.width
    names = dict.fromkeys(name for task in plan.tasks for arm in task.arms for name in arm.model.all_mixers)
    causal = any(task.causal for task in plan.tasks)
    sizes = {"width": width, "length": COST_LENGTHS[0]}
    mixers = {name: name for name in names if not looks_one_way(name, **sizes, causal=causal)}
    progress.say("Measuring cost against length ...")
    options = {name: own for arm in widest.arms for name, own in arm.model.mixer_options.items()}
    with progress.phase(
        "Measuring", runs=len(COST_LENGTHS), seconds=COST_MEASURING_SECONDS, unit="lengths"
    ) as phase:
        for measured in measure_cost(
            mixers,
            COST_LENGTHS,
            width=width,
            causal=causal,
            seconds=COST_MEASURING_SECONDS,
            device=plan.request.device,
            options=options,
        ):
            curves = measured
            phase.advance(COST_MEASURING_SECONDS / len(COST_LENGTHS))
    answer = schema.CostAnswer(
        width=width,
        num_threads=1,
        device=plan.request.device,
        curves=[schema.CostCurve.model_validate(curve, from_attributes=True) for curve in curves],
        crossover=crossover_sentence({curve.mixer: curve.seconds() for curve in curves}, rival="attention"),
    )
    directory.write_cost(answer)
    session.tick()
