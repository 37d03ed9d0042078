"""The study itself: plan, sweep, train, measure costs, answer. It can be killed and resumed anywhere."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from globalconv.cost import CostCurve, measure_cost
from globalconv.cost.crossover import crossover
from globalconv.display.numbers import format_duration
from globalconv.display.progress import Phase, Progress
from globalconv.errors import InputError
from globalconv.study import schema
from globalconv.study.answer.gather import gather
from globalconv.study.design.budget import OVERRUN, Load
from globalconv.study.design.plan import make_plan
from globalconv.study.design.spec import ArmPlan, RunSpec, StudyPlan, StudyRequest, TaskPlan, WarmUp
from globalconv.study.report.rehearsal import rehearse
from globalconv.study.runs.arm_runs import all_finals, chosen_rate, runs_of_arm, sweep_of
from globalconv.study.runs.directory import StudyDirectory, StudyState
from globalconv.study.runs.disk_space import check_space
from globalconv.study.runs.execute import (
    check_sources,
    execute_run,
    execute_warm_up,
    one_thread,
    rebuild_task,
)
from globalconv.study.runs.probe_model import look_inside
from globalconv.study.runs.reading import BrokenFile
from globalconv.study.runs.run_directory import BrokenRun, RunDirectory
from globalconv.study.runs.workers import over_the_cores

COST_LENGTHS = [64, 128, 256, 512, 1024, 2048, 4096, 8192]
COST_MEASURING_SECONDS = 8.0
WARM_UP_SECONDS = 4.0
INSIDE_SECONDS = 2.0
"""Guesses at how long an arm is measured and a model is probed, for the time left."""


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
                check_space(plan, out)
                rehearse(gather(directory, plan), out, write)
                directory.write_plan(plan)
        except BaseException:
            directory.discard()
            raise
        study = _Study(directory, plan, progress, workers, started)
        if found is None:
            study.state = StudyState()  # one that lies here belongs to a plan that was lost
            study.tick()
        else:
            for task in plan.tasks:
                rebuild_task(task.task)
                for arm in task.arms:
                    check_sources(arm.model)
            done = "is complete; its report is rebuilt" if study.is_complete(plan) else "goes on"
            progress.say(f"The study in {out} {done}.")
        study.sweep(plan)
        study.finals(plan)
        while not study.inside(plan):
            study.finals(plan)
        study.cost(plan)
        study.complete()
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


class _Study:
    """One session of a study: its clock, and the runs that are still to do."""

    def __init__(
        self, directory: StudyDirectory, plan: StudyPlan, progress: Progress, workers: int, started: float
    ) -> None:
        self.directory = directory
        self.progress = progress
        self.workers = workers
        self.state: StudyState = directory.state(plan)
        self._tasks = {task.task.name: task for task in plan.tasks}
        self._ticked = started
        self._trained: set[str] = set()

    def tick(self) -> None:
        """Add the time since the last tick to the study's clock, on disk too."""
        now = time.monotonic()
        self.state.seconds += now - self._ticked
        self._ticked = now
        self.directory.write_state(self.state)

    def is_complete(self, plan: StudyPlan) -> bool:
        """Whether nothing is left to do: that it was so once is not enough, files may be gone."""
        if not self.state.complete:
            return False
        seeds = [seed for seed in plan.seeds if seed not in self.state.dropped_seeds]
        arms = [(task, arm) for task in plan.tasks for arm in task.arms]
        runs = [runs_of_arm(self.directory, plan, task, arm, seeds, []) for task, arm in arms]
        if any(found.missing or found.sweeping for found in runs):
            self.state.complete = False
        return self.state.complete

    def complete(self) -> None:
        """Say on disk that nothing is left to do; what did nothing adds nothing to the clock."""
        if not self.state.complete:
            self.state.complete = True
            self.tick()

    def sweep(self, plan: StudyPlan) -> None:
        """Train every learning rate of every arm, then what that makes due: wider grids, second seeds."""
        rounds = 0
        while specs := self._missing(self._sweep_round(plan)):
            rounds += 1
            self._train(plan, specs, "Tuning" if rounds == 1 else f"Tuning, round {rounds}")

    def _sweep_round(self, plan: StudyPlan) -> Iterator[RunSpec]:
        for task in plan.tasks:
            for arm in task.arms:
                yield from sweep_of(self.directory, plan, task, arm)[1]

    def finals(self, plan: StudyPlan) -> None:
        """Train the final seeds, whole rounds at a time; drop the rounds that the clock does not hold."""
        rates = {
            (task.task.name, arm.arm): self._rate(plan, task, arm) for task in plan.tasks for arm in task.arms
        }
        rounds = {
            seed: specs
            for seed, specs in zip(plan.seeds, all_finals(plan, rates), strict=True)
            if seed not in self.state.dropped_seeds
        }
        cost = _planned_seconds(plan)
        everything = [spec for specs in rounds.values() for spec in specs]
        missing = self._missing(everything)
        if not missing:
            return
        missing_names = {spec.name for spec in missing}
        slowdown = 1.0
        with self.progress.phase(
            "Training", runs=len(everything), seconds=sum(map(cost, missing)) / self.workers
        ) as phase:
            phase.advance(0.0, runs=len(everything) - len(missing))
            jobs = self._until_the_clock_runs_out(plan, rounds, missing_names, cost, lambda: slowdown)
            started, worked = time.monotonic(), 0.0
            for done in self._carried_out(jobs, cost, phase):
                worked += done
                slowdown = (time.monotonic() - started) / worked

    def _until_the_clock_runs_out(
        self,
        plan: StudyPlan,
        rounds: dict[int, list[RunSpec]],
        missing: set[str],
        cost: Callable[[RunSpec], float],
        slowdown: Callable[[], float],
    ) -> Iterator[RunSpec]:
        for seed, specs in rounds.items():
            todo = [spec for spec in specs if spec.name in missing]
            begun = len(todo) < len(specs)
            needed = slowdown() * sum(map(cost, todo)) / self.workers
            budget = plan.budget_seconds or math.inf
            left = budget - self.state.seconds
            # The first round is always run: without it there is no answer at all. So is one that an
            # interrupted session had begun: half a seed compares nothing.
            if todo and seed != plan.seeds[0] and not begun and needed > left + OVERRUN * budget:
                self.state.dropped_seeds = [s for s in plan.seeds if s >= seed]
                self.progress.say(
                    f"The clock: {format_duration(left)} of the budget are left and a seed takes "
                    f"{format_duration(needed)}; seeds {self.state.dropped_seeds} are dropped."
                )
                return
            yield from todo

    def inside(self, plan: StudyPlan) -> bool:
        """Probe one trained model of every arm: that of the first seed that finished.

        Returns whether their weights could be used; of a run where they could not, nothing is left.
        """
        specs = []
        for task in plan.tasks:
            for arm in task.arms:
                rate = self._rate(plan, task, arm)
                finals = [
                    plan.run(task, arm, rate=rate, seed=seed, purpose="final")
                    for seed in plan.seeds
                    if rate is not None
                ]
                results = ((spec, self.directory.result(spec, task)) for spec in finals)
                finished = [spec for spec, result in results if result and result.status == "finished"]
                if finished and not any(self._has_inside(spec) for spec in finished):
                    specs.append(finished[0])
        if not specs:
            return True
        seconds = len(specs) * INSIDE_SECONDS / self.workers
        with self.progress.phase("Probing", runs=len(specs), seconds=seconds, unit="models") as phase:
            arguments = [(spec, self.directory.runs) for spec in specs]
            broken = {}
            for index, why in over_the_cores(look_inside, arguments, workers=self.workers):
                if why is not None:
                    broken[index] = why
                phase.advance(INSIDE_SECONDS / self.workers)
                self.tick()
        for index, why in broken.items():
            self._set_aside(specs[index], why)
        return not broken

    def _has_inside(self, spec: RunSpec) -> bool:
        try:
            return self._run(spec).inside() is not None
        except BrokenFile as error:
            self._tell_redone(spec, f"{error}; done again")
            return False

    def _rate(self, plan: StudyPlan, task: TaskPlan, arm: ArmPlan) -> float | None:
        """The learning rate of an arm's final runs."""
        return chosen_rate(arm, sweep_of(self.directory, plan, task, arm)[0])

    def cost(self, plan: StudyPlan) -> None:
        """Time the mixers alone against length."""
        try:
            if self.directory.cost() is not None:
                return
        except BrokenFile as error:
            self.progress.say(f"{error}; it is measured again.")
        widest = max(plan.tasks, key=lambda task: task.arms[0].model.width)
        names = dict.fromkeys(
            name for task in plan.tasks for arm in task.arms for name in arm.model.all_mixers
        )
        causal = any(task.causal for task in plan.tasks)
        mixers = {name: name for name in names if not (causal and name == "token_mlp")}
        self.progress.say("Measuring cost against length ...")
        options = {name: own for arm in widest.arms for name, own in arm.model.mixer_options.items()}
        with self.progress.phase(
            "Measuring", runs=len(COST_LENGTHS), seconds=COST_MEASURING_SECONDS, unit="lengths"
        ) as phase:
            curves = measure_cost(
                mixers,
                COST_LENGTHS,
                width=widest.arms[0].model.width,
                causal=causal,
                seconds=COST_MEASURING_SECONDS,
                device=plan.request.device,
                options=options,
                on_length=lambda: phase.advance(COST_MEASURING_SECONDS / len(COST_LENGTHS)),
            )
        self.directory.write_cost(_cost_answer(curves, plan, width=widest.arms[0].model.width))
        self.tick()

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
        if spec.name in self._trained:
            raise InputError(
                f"{run.path} was written just now, and yet: {why}. Is the disk sound? The same command goes on with "
                "the study; or name an --out on another disk."
            )
        self._trained.add(spec.name)
        self._tell_redone(spec, f"{why}; redone ({run.set_aside().name} keeps the old)")

    def _tell_redone(self, spec: RunSpec, why: str) -> None:
        told = f"{spec.task.name}, {spec.arm}, seed {spec.seed}: {why}."
        self.progress.say(f"Broken run: {told}")
        self.state.redone.append(told)
        self.tick()

    def _train(self, plan: StudyPlan, specs: list[RunSpec], name: str) -> None:
        cost = _planned_seconds(plan)
        specs = sorted(specs, key=cost, reverse=True)
        seconds = sum(map(cost, specs)) / self.workers
        with self.progress.phase(name, runs=len(specs), seconds=seconds) as phase:
            for _ in self._carried_out(specs, cost, phase):
                pass

    def _carried_out(
        self, specs: Iterable[RunSpec], cost: Callable[[RunSpec], float], phase: Phase
    ) -> Iterator[float]:
        """Train ``specs``; yields, as they end, what each was expected to take of the phase, in seconds."""
        under_way: dict[int, RunSpec] = {}

        def arguments() -> Iterator[tuple[RunSpec, Path]]:
            for index, spec in enumerate(specs):
                under_way[index] = spec
                yield spec, self.directory.runs

        phase.under_way = lambda: sum(
            cost(spec) / self.workers * self._run(spec).share_done() for spec in list(under_way.values())
        )
        for index, _ in over_the_cores(execute_run, arguments(), workers=self.workers):
            done = cost(under_way.pop(index)) / self.workers
            phase.advance(done)
            self.tick()
            yield done


def _planned_seconds(plan: StudyPlan) -> Callable[[RunSpec], float]:
    """Spec -> seconds on one core that the warm-up expects of it."""
    arms = {(task.task.name, arm.arm): arm for task in plan.tasks for arm in task.arms}

    def cost(spec: RunSpec) -> float:
        arm = arms[spec.task.name, spec.arm]
        training = spec.training
        return Load.of(arm.warm_up, steps=training.steps, evaluations=training.evaluations).seconds()

    return cost


def _cost_answer(curves: list[CostCurve], plan: StudyPlan, *, width: int) -> schema.CostAnswer:
    return schema.CostAnswer(
        width=width,
        num_threads=1,
        device=plan.request.device,
        curves=[
            schema.CostCurve(
                mixer=curve.mixer,
                points=[
                    schema.CostPoint(length=t.length, seconds=t.median, low=t.low, high=t.high)
                    for t in curve.timings
                ],
                stopped=curve.stopped,
            )
            for curve in curves
        ],
        crossover=_crossover(curves),
    )


def _crossover(curves: list[CostCurve]) -> str:
    """From which measured length on each convolution beats attention, in words."""
    seconds = {curve.mixer: {t.length: t.median for t in curve.timings} for curve in curves}
    if "attention" not in seconds:
        return "attention was not among the arms, so there is no crossover to tell."
    sentences = []
    for mixer, times in seconds.items():
        found = None if mixer == "attention" else crossover(times, seconds["attention"])
        if found is None:
            continue
        if found.after is None:
            sentences.append(f"{mixer} is not faster up to length {found.longest}")
        else:
            ratio = seconds["attention"][found.longest] / times[found.longest]
            at_last = f"{ratio:.1f} times at {found.longest}"
            sentences.append(f"{mixer} is faster from length {found.after} on ({at_last})")
    return "Against attention, " + "; ".join(sentences) + "."
