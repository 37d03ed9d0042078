"""From run directories to the answer: every number of a report is read or computed here, none is typed."""

import math
from collections.abc import Iterable
from dataclasses import replace
from statistics import mean, median

import numpy as np

from globalconv.display.numbers import format_duration, score_text
from globalconv.study.answer.advice import Given
from globalconv.study.answer.methods import describe_methods
from globalconv.study.answer.sentence import QUESTION, answer_in_words
from globalconv.study.answer.statistics import estimate
from globalconv.study.answer.verdict import ArmJudgement, Contender, Yardstick, judge_arm, judge_task
from globalconv.study.design.arms import attends
from globalconv.study.design.budget import OVERRUN
from globalconv.study.design.spec import ModelSpec, StudyPlan, TaskPlan
from globalconv.study.runs.arm_runs import ArmRuns, runs_of_arm
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.reading import BrokenFile
from globalconv.study.runs.run_directory import RunResult
from globalconv.study.schema import (
    SCHEMA_VERSION,
    ArmAnswer,
    AxisRanking,
    Confusion,
    CurvePoint,
    Estimate,
    PartsAnswer,
    RatePoint,
    StudyAnswer,
    TaskAnswer,
)
from globalconv.tasks.classification import METRICS
from globalconv.training.plateau import FEWEST_STEPS, has_plateaued, is_too_short, steps_to_plateau

BACKWARD_FLOPS = 2.0
"""A backward pass costs about two forward ones: one for the inputs, one for the weights."""
UNSTEADY_SCORES = 5.0
"""Margins between the runs of one arm at one rate, from which on the reader is told."""
UNSTEADY_SPEED = 3.0
"""How many times as long a step took in one run as in another, from which on the reader is told."""


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
        tasks.append(_answer_task(plan, task, runs, given))
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
        plateaued=not is_too_short([point.step for point in curve])
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
        metric=_possible(estimate([r.test[task.metric] for r in results]), most=task.ceiling)
        if results
        else None,
        extra_metrics={
            name: _possible(estimate([r.test[name] for r in results if name in r.test]), most=_most(name))
            for name in sorted(extras)
        },
        confusion=_confusion(results),
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
        steps_to_plateau=_steps_to_plateau(task, curve),
        flags=_flags(task, found, contender),
        diverged_seeds=found.diverged,
        curve=curve,
        inside=found.inside,
    )


def _confusion(results: list[RunResult]) -> Confusion | None:
    """All seeds' counts together."""
    found = [result.confusion for result in results if result.confusion is not None]
    if not found:
        return None
    counts = np.sum([one.counts for one in found if one.classes == found[0].classes], axis=0)
    return found[0].model_copy(update={"counts": counts.tolist()})


def _steps_to_plateau(task: TaskPlan, curve: list[CurvePoint]) -> int | None:
    steps = [point.step for point in curve]
    values = [point.value.mean for point in curve]
    needed = steps_to_plateau(steps, values, higher_is_better=task.higher_is_better, tolerance=task.margin)
    return needed or (FEWEST_STEPS if steps and steps[-1] < FEWEST_STEPS else None)


def _parts(model: ModelSpec) -> PartsAnswer | None:
    if model.decoder is None:
        return None
    return PartsAnswer(encoder=model.mixers, decoder=model.decoder.mixers, cross=model.decoder.cross)


def _flags(task: TaskPlan, found: ArmRuns, contender: Contender) -> list[str]:
    flags = []
    if found.curves and not contender.plateaued:
        steps = [evaluation.step for evaluation in next(iter(found.curves.values()))]
        too_short = "too few steps or evaluations to show a plateau"
        flags.append(too_short if is_too_short(steps) else "still improving when its steps ran out")
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


def _possible(score: Estimate, *, most: float | None) -> Estimate:
    """The part of its interval that a score can reach: no metric or loss is negative, and some have a ceiling.

    Student's t knows of no such ends. The interval of a difference, by which a verdict is given, is left whole.
    """
    most = math.inf if most is None else most
    if score.low is None or score.high is None or not 0 <= score.mean <= most:
        return score
    return score.model_copy(update={"low": max(score.low, 0.0), "high": min(score.high, most)})


def _most(metric: str) -> float | None:
    """The ceiling of a further test metric, by its name; a loss has none."""
    if metric in METRICS:
        return METRICS[metric].ceiling
    if metric in ("bleu", "chrf"):
        return 100.0
    return 1.0 if metric.endswith(("accuracy", "exact_match")) else None


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
                value=_possible(
                    estimate([e.validation[task.metric] for e in at_one_step]), most=task.ceiling
                ),
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
