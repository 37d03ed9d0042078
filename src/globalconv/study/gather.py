"""From run directories to the answer: every number of a report is read or computed here, none is typed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import mean, median

import numpy as np

from globalconv.quantities import format_duration, score_text
from globalconv.study.answer import (
    SCHEMA_VERSION,
    ArmAnswer,
    AxisRanking,
    CurvePoint,
    Estimate,
    ModelInside,
    PartsAnswer,
    RatePoint,
    StudyAnswer,
    TaskAnswer,
)
from globalconv.study.arms import attends
from globalconv.study.budget import OVERRUN
from globalconv.study.directory import StudyDirectory
from globalconv.study.given import Given
from globalconv.study.methods import describe_methods
from globalconv.study.run_directory import BrokenRun, RunResult
from globalconv.study.sentence import QUESTION, answer_in_words
from globalconv.study.spec import ArmPlan, ModelSpec, RunSpec, StudyPlan, TaskPlan
from globalconv.study.statistics import estimate
from globalconv.study.sweep import SWEEP_SEEDS, Sweep, Trial
from globalconv.study.verdict import ArmJudgement, Contender, Yardstick, judge_arm, judge_task
from globalconv.training.fit import Evaluation
from globalconv.training.plateau import has_plateaued, steps_to_plateau

BACKWARD_FLOPS = 2.0
"""A backward pass costs about two forward ones: one for the inputs, one for the weights."""
UNSTEADY_SCORES = 5.0
"""Margins between the runs of one arm at one rate, from which on the reader is told."""
UNSTEADY_SPEED = 3.0
"""How many times as long a step took in one run as in another, from which on the reader is told."""


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
    """In words: runs that cannot be read, which the study's command would redo."""
    missing: list[int] = field(default_factory=list)
    inside: ModelInside | None = None


def gather(directory: StudyDirectory, plan: StudyPlan) -> StudyAnswer:
    """The answer that the runs in ``directory`` give now, however many of them are there."""
    state = directory.state()
    seeds = [seed for seed in plan.seeds if seed not in state.dropped_seeds]
    given = Given.to(plan, state)
    used: list[RunResult] = []
    num_done = 0
    num_planned = len(seeds) * sum(len(task.arms) for task in plan.tasks)
    failures = list(state.redone)
    environment: dict[str, str] = {}
    tasks = []
    for task in plan.tasks:
        runs = {arm.arm: _runs_of(directory, plan, task, arm, seeds, used) for arm in task.arms}
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
                environment |= directory.run(spec).environment()
        tasks.append(_answer_task(plan, task, runs, given))
    cuts = list(plan.cuts)
    if state.dropped_seeds:
        cuts.append(
            f"The clock ran out: seed(s) {', '.join(map(str, state.dropped_seeds))} of every arm were dropped."
        )
    if state.complete and state.seconds > (1 + OVERRUN) * plan.request.budget_seconds:
        cuts.append(
            f"It took {format_duration(state.seconds)} and not {format_duration(plan.request.budget_seconds)}. The "
            "plan is an estimate: the machine may have been slower than when its speed was measured, or have had fewer "
            "workers; a sweep wider than most; runs done again; or a round of them had begun."
        )
    return StudyAnswer(
        schema_version=SCHEMA_VERSION,
        globalconv_version=plan.globalconv_version,
        question=QUESTION,
        command=plan.command,
        started=plan.started,
        training_seconds=sum(result.seconds for result in used),
        wall_seconds=state.seconds,
        budget_seconds=plan.request.budget_seconds,
        num_runs=len(used),
        seeds=seeds,
        tasks=tasks,
        cost=directory.cost(),
        unfinished=None
        if state.complete
        else f"{num_done} of {num_planned} final runs are done; the study's command goes on with it.",
        cuts=cuts,
        failures=failures,
        environment=environment,
        methods=describe_methods(plan),
    )


def sweep_of(
    directory: StudyDirectory, plan: StudyPlan, task: TaskPlan, arm: ArmPlan
) -> tuple[Sweep | None, list[RunSpec]]:
    """What the sweep's complete runs found, each followed by what it made due, and the runs that are due now.

    A study that does not sweep has neither; and no run is due when the sweep is over.
    """
    if not plan.sweep:
        return None, []
    scores: dict[float, list[float | None]] = {}
    sweep = Sweep(scores, task.higher_is_better, task.margin / 2)
    trials = [Trial(rate, SWEEP_SEEDS[0]) for rate in arm.rates]
    while trials:
        specs = [plan.run(task, arm, rate=t.rate, seed=t.seed, purpose="sweep") for t in trials]
        results = [directory.result(spec) for spec in specs]
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


def _runs_of(
    directory: StudyDirectory,
    plan: StudyPlan,
    task: TaskPlan,
    arm: ArmPlan,
    seeds: list[int],
    used: list[RunResult],
) -> ArmRuns:
    sweep, due = sweep_of(directory, plan, task, arm)
    used += _sweep_results(directory, plan, task, arm, sweep)
    found = ArmRuns(arm, sweep, bool(due), chosen_rate(arm, sweep))
    for spec in due:
        _sound_result(directory, spec, found)
    if found.rate is None:
        return found
    for seed in seeds:
        spec = plan.run(task, arm, rate=found.rate, seed=seed, purpose="final")
        result = _sound_result(directory, spec, found)
        if result is None:
            found.missing.append(seed)
            continue
        used.append(result)
        if result.status == "diverged":
            found.diverged.append(seed)
        else:
            found.finished[seed] = result
            found.curves[seed] = directory.run(spec).curve()
            found.inside = found.inside or directory.run(spec).inside()
    return found


def _sound_result(directory: StudyDirectory, spec: RunSpec, found: ArmRuns) -> RunResult | None:
    """The result of a run; None where there is none yet, or where the run is broken, which is kept in words."""
    try:
        return directory.run(spec).result()
    except BrokenRun as error:
        swept = f"sweep at learning rate {spec.training.learning_rate:g}, " if spec.purpose == "sweep" else ""
        found.broken.append(f"{swept}seed {spec.seed}: {error}")
        return None


def _sweep_results(
    directory: StudyDirectory, plan: StudyPlan, task: TaskPlan, arm: ArmPlan, sweep: Sweep | None
) -> Iterator[RunResult]:
    for rate, scores in (sweep.scores if sweep else {}).items():
        for seed in SWEEP_SEEDS[: len(scores)]:
            result = directory.result(plan.run(task, arm, rate=rate, seed=seed, purpose="sweep"))
            assert result is not None
            yield result


def _answer_task(plan: StudyPlan, task: TaskPlan, runs: dict[str, ArmRuns], given: Given) -> TaskAnswer:
    rival = plan.request.rival
    yardstick = Yardstick(task.higher_is_better, task.margin, task.ceiling, task.trivial_floor)
    curves = {arm: _mean_curve(found, task) for arm, found in runs.items()}
    contenders = {arm: _contender(plan, task, found, curves[arm]) for arm, found in runs.items()}
    judgements = {
        arm: judge_arm(contender, contenders[rival], yardstick)
        for arm, contender in contenders.items()
        if arm != rival
    }
    verdict = judge_task(
        [(contenders[arm], judgement) for arm, judgement in judgements.items()], contenders[rival], yardstick
    )
    if verdict == "nothing learned":  # then 0 against 0 is not "not worse"
        because = f"There is nothing to compare with: {rival} itself is not clear of guessing."
        judgements = {
            arm: replace(judgement, verdict="undecided", because=because, further_seeds=None)
            for arm, judgement in judgements.items()
        }
    arms = [
        _answer_arm(task, found, contenders[arm], judgements.get(arm), curves[arm])
        for arm, found in runs.items()
    ]
    return TaskAnswer(
        task=task.task.name,
        description=task.description,
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        margin=task.margin,
        length=task.length,
        causal=task.causal,
        width=task.arms[0].model.width,
        depth=task.depth,
        verdict=verdict,
        sentence=answer_in_words(task, verdict, arms, rival, given),
        floors=list(task.floors),
        rival=rival,
        arms=arms,
        rankings=_rankings(curves, task),
        matched_on=plan.request.match,
        matched_spread=max(abs(arm.matched - 1) for arm in task.arms),
        notices=list(task.notices),
        left_out=task.left_out,
    )


def _contender(plan: StudyPlan, task: TaskPlan, found: ArmRuns, curve: list[CurvePoint]) -> Contender:
    return Contender(
        arm=found.plan.arm,
        scores={seed: result.test[task.metric] for seed, result in found.finished.items()},
        plateaued=bool(curve)
        and has_plateaued(
            [point.step for point in curve],
            [point.value.mean for point in curve],
            higher_is_better=task.higher_is_better,
            tolerance=task.margin,
        ),
        tuned=task.tuned and not found.sweeping and not (found.sweep and found.sweep.on_edge),
        attends=attends(found.plan.model.all_mixers),
        num_diverged=len(found.diverged),
        resampled={seed: result.test_resampled for seed, result in found.finished.items()},
    )


def _answer_arm(
    task: TaskPlan,
    found: ArmRuns,
    contender: Contender,
    judgement: ArmJudgement | None,
    curve: list[CurvePoint],
) -> ArmAnswer:
    results = list(found.finished.values())
    extras = {name for result in results for name in result.test} - {task.metric}
    plan = found.plan
    return ArmAnswer(
        arm=plan.arm,
        mixers=plan.model.all_mixers,
        parts=_parts(plan.model),
        metric=_possible(estimate([r.test[task.metric] for r in results]), task) if results else None,
        extra_metrics={
            name: estimate([r.test[name] for r in results if name in r.test]) for name in sorted(extras)
        },
        difference=judgement.difference if judgement else None,
        over_seeds=judgement.over_seeds if judgement else None,
        over_examples=judgement.over_examples if judgement else None,
        verdict=judgement.verdict if judgement else "rival",
        because=judgement.because if judgement else "The others are compared with it.",
        further_seeds=judgement.further_seeds if judgement else None,
        parameters=plan.parameters,
        mlp_width=plan.model.mlp_width,
        steps=plan.steps,
        flops_per_token=plan.flops_per_token,
        seconds_per_step=median(r.seconds_per_step for r in results)
        if results
        else plan.warm_up.seconds_per_step,
        train_seconds=mean(r.seconds for r in results) if results else 0.0,
        peak_memory_bytes=plan.warm_up.peak_memory_bytes,
        learning_rate=found.rate or plan.rates[0],
        rate_source=plan.rate_source,
        rates=[
            RatePoint(learning_rate=rate, value=mean, num_seeds=len(found.sweep.scores[rate]))
            for rate, mean in found.sweep.means.items()
        ]
        if found.sweep
        else [],
        plateaued=contender.plateaued,
        steps_to_plateau=steps_to_plateau(
            [point.step for point in curve],
            [point.value.mean for point in curve],
            higher_is_better=task.higher_is_better,
            tolerance=task.margin,
        ),
        flags=_flags(task, found, contender),
        diverged_seeds=found.diverged,
        curve=curve,
        inside=found.inside,
    )


def _parts(model: ModelSpec) -> PartsAnswer | None:
    if model.decoder is None:
        return None
    return PartsAnswer(encoder=model.mixers, decoder=model.decoder.mixers, cross=model.decoder.cross)


def _flags(task: TaskPlan, found: ArmRuns, contender: Contender) -> list[str]:
    flags = []
    if found.curves and not contender.plateaued:
        flags.append("still improving when its steps ran out")
    if not task.tuned:
        flags.append("learning rate not tuned on this data")
    elif found.sweeping:
        flags.append("the sweep of its learning rate is unfinished")
    elif not contender.tuned:
        flags.append("best learning rate on the edge of the sweep")
    if found.sweep and not found.sweeping and found.rate is None:
        flags.append("diverged at every learning rate")
    if flag := _unsteady_scores(task, found):
        flags.append(flag)
    if flag := _unsteady_speed(found):
        flags.append(flag)
    if found.missing:
        flags.append(f"{len(found.missing)} seed(s) missing")
    if found.diverged:
        flags.append(f"{len(found.diverged)} run(s) diverged")
    if contender.scores:
        sign = 1.0 if task.higher_is_better else -1.0
        score = mean(contender.scores.values())
        missed = [floor for floor in task.floors if sign * score < sign * floor.value]
        flags += [
            f"does not reach the floor '{floor.name}' ({score_text(floor.value, task.margin)})"
            for floor in missed[:1]
        ]
    return flags


def _unsteady_scores(task: TaskPlan, found: ArmRuns) -> str | None:
    """A rate that trains with one seed and not with another, in words; the sweep's own runs are told, too."""
    scores = [result.validation[task.metric] for result in found.finished.values()]
    if found.sweep and found.rate is not None:
        scores += [score for score in found.sweep.scores[found.rate] if score is not None]
    if not scores or not task.margin or max(scores) - min(scores) <= UNSTEADY_SCORES * task.margin:
        return None
    low, high = (score_text(end, task.margin) for end in (min(scores), max(scores)))
    swept = ", those of its sweep among them" if found.sweep else ""
    return f"unsteady: its runs at this learning rate reached from {low} to {high} on validation{swept}"


def _unsteady_speed(found: ArmRuns) -> str | None:
    seconds = [result.seconds_per_step for result in found.finished.values()]
    if not seconds or max(seconds) <= UNSTEADY_SPEED * min(seconds):
        return None
    return (
        f"its steps took {max(seconds) / min(seconds):.1f} times as long in one run as in another: something else kept "
        "the machine busy, so mind its times"
    )


def _possible(score: Estimate, task: TaskPlan) -> Estimate:
    """The part of its interval that a score can reach: none of these metrics is negative, and some have a ceiling.

    Student's t knows of no such ends. The interval of a difference, by which a verdict is given, is left whole.
    """
    if score.low is None or score.high is None or not 0 <= score.mean <= (task.ceiling or math.inf):
        return score
    return score.model_copy(
        update={"low": max(score.low, 0.0), "high": min(score.high, task.ceiling or math.inf)}
    )


def _mean_curve(found: ArmRuns, task: TaskPlan) -> list[CurvePoint]:
    """The mean validation curve over the seeds; all runs of an arm are validated at the same steps."""
    tokens = task.batch_size * task.length
    flops_per_step = (1 + BACKWARD_FLOPS) * found.plan.flops_per_token * tokens
    points = []
    for at_one_step in zip(*found.curves.values(), strict=True):
        step = at_one_step[0].step
        points.append(
            CurvePoint(
                step=step,
                seconds=mean(e.seconds for e in at_one_step),
                flops=step * flops_per_step,
                value=_possible(estimate([e.validation[task.metric] for e in at_one_step]), task),
            )
        )
    return points


def _rankings(curves: dict[str, list[CurvePoint]], task: TaskPlan) -> list[AxisRanking]:
    """The arms at equal steps, seconds and flops: the largest that all of them reached."""
    reached = {arm: curve for arm, curve in curves.items() if curve}
    rankings = []
    for axis in ("steps", "seconds", "flops"):
        position = {arm: [_along(point, axis) for point in curve] for arm, curve in reached.items()}
        if not position:
            continue
        at = min(along[-1] for along in position.values())
        values = {
            arm: float(np.interp(at, position[arm], [point.value.mean for point in curve]))
            for arm, curve in reached.items()
        }
        best_first = sorted(values, key=lambda arm: values[arm], reverse=task.higher_is_better)
        rankings.append(AxisRanking(axis=axis, at=at, values={arm: values[arm] for arm in best_first}))
    return rankings


def _along(point: CurvePoint, axis: str) -> float:
    return float({"steps": point.step, "seconds": point.seconds, "flops": point.flops}[axis])


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
