"""From an arm's runs to its answer, and from all arms' to a task's: statistics, verdict, sentence."""

from dataclasses import replace
from statistics import mean, median
from typing import Any

import numpy as np
from pydantic import BaseModel

from globalconv.study.answer.advice import Given
from globalconv.study.answer.curves import mean_curve, rankings, within_reach
from globalconv.study.answer.flags import flags_of
from globalconv.study.answer.sentence import answer_in_words
from globalconv.study.answer.statistics import estimate
from globalconv.study.answer.verdict import ArmJudgement, Contender, Yardstick, judge_arm, judge_task
from globalconv.study.design.arms import attends
from globalconv.study.runs.arm_runs import ArmRuns
from globalconv.study.runs.run_directory import RunResult
from globalconv.study.schema import ArmAnswer, Confusion, CurvePoint, PartsAnswer, RatePoint, TaskAnswer
from globalconv.study.spec import StudyPlan, TaskPlan
from globalconv.tasks.classification import METRICS
from globalconv.training.plateau import FEWEST_STEPS, has_plateaued, is_too_short, steps_to_plateau

THE_RIVAL = ArmJudgement("rival", "The others are compared with it.", None)


def answer_task(plan: StudyPlan, task: TaskPlan, runs: dict[str, ArmRuns], given: Given) -> TaskAnswer:
    rival = plan.request.rival
    yardstick = Yardstick(task.higher_is_better, task.margin, task.ceiling, task.trivial_baseline)
    curves = {arm: mean_curve(found, task) for arm, found in runs.items()}
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
        _answer_arm(task, found, contenders[arm], judgements.get(arm, THE_RIVAL), curves[arm])
        for arm, found in runs.items()
    ]
    return TaskAnswer(
        **_shared(task, TaskAnswer)
        | {
            "task": task.task.name,
            "width": task.arms[0].model.width,
            "verdict": verdict,
            "sentence": answer_in_words(task, verdict, arms, rival, given),
            "rival": rival,
            "arms": arms,
            "rankings": rankings(curves, task),
            "matched_on": plan.request.match,
            "matched_spread": max(abs(arm.matched - 1) for arm in task.arms),
        }
    )


def _shared(planned: BaseModel, answer: type[BaseModel]) -> dict[str, Any]:
    """What is answered as it was planned, by name."""
    return {name: getattr(planned, name) for name in answer.model_fields if hasattr(planned, name)}


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
        tuned=task.tuned and not found.due and not (found.sweep and found.sweep.on_edge),
        attends=attends(found.plan.model.all_mixers),
        num_diverged=len(found.diverged),
        resampled={seed: result.test_resampled for seed, result in found.finished.items()},
    )


def _answer_arm(
    task: TaskPlan, found: ArmRuns, contender: Contender, judgement: ArmJudgement, curve: list[CurvePoint]
) -> ArmAnswer:
    results, plan, sweep = list(found.finished.values()), found.plan, found.sweep
    decoder = plan.model.decoder
    scores: dict[str, list[float]] = {}
    for result in results:
        for name, score in result.test.items():
            scores.setdefault(name, []).append(score)
    estimates = {
        name: within_reach(estimate(scores[name]), most=task.ceiling if name == task.metric else _most(name))
        for name in sorted(scores)
    }
    return ArmAnswer(
        **_shared(plan, ArmAnswer)
        | vars(judgement)
        | {
            "mixers": plan.model.all_mixers,
            "parts": decoder
            and PartsAnswer(encoder=plan.model.mixers, decoder=decoder.mixers, cross=decoder.cross),
            "metric": estimates.pop(task.metric, None),
            "extra_metrics": estimates,
            "confusion": _confusion(results),
            "mlp_width": plan.model.mlp_width,
            "seconds_per_step": median(r.seconds_per_step for r in results)
            if results
            else plan.warm_up.seconds_per_step,
            "train_seconds": mean(r.seconds for r in results) if results else 0.0,
            "peak_memory_bytes": plan.warm_up.peak_memory_bytes,
            "learning_rate": found.rate or plan.rates[0],
            "rates": [
                RatePoint(learning_rate=rate, value=mean, num_seeds=len(sweep.scores[rate]))
                for rate, mean in sweep.means.items()
            ]
            if sweep
            else [],
            "plateaued": contender.plateaued,
            "steps_to_plateau": _steps_to_plateau(task, curve),
            "flags": flags_of(task, found, contender),
            "diverged_seeds": found.diverged,
            "curve": curve,
            "inside": found.inside,
        }
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


def _most(metric: str) -> float | None:
    """The ceiling of a further test metric, by its name; a loss has none."""
    if metric in METRICS:
        return METRICS[metric].ceiling
    if metric in ("bleu", "chrf"):
        return 100.0
    return 1.0 if metric.endswith(("accuracy", "exact_match")) else None
