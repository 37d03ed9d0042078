"""The mean curve of an arm, and the arms ranked at equal steps, seconds and flops."""

import math
from statistics import mean
from typing import get_args

import numpy as np

from globalconv.study.answer.statistics import estimate
from globalconv.study.design.estimate import TRAINING_FLOPS
from globalconv.study.runs.arm_runs import ArmRuns
from globalconv.study.schema import Axis, AxisRanking, CurvePoint, Estimate
from globalconv.study.spec import TaskPlan


def mean_curve(found: ArmRuns, task: TaskPlan) -> list[CurvePoint]:
    """The mean validation curve over the seeds; all runs of an arm are validated at the same steps."""
    tokens = task.batch_size * task.length
    flops_per_step = TRAINING_FLOPS * found.plan.flops_per_token * tokens
    points = []
    for at_one_step in zip(*found.curves.values(), strict=True):
        step = at_one_step[0].step
        points.append(
            CurvePoint(
                step=step,
                seconds=mean(e.seconds for e in at_one_step),
                flops=step * flops_per_step,
                value=within_reach(
                    estimate([e.validation[task.metric] for e in at_one_step]), most=task.ceiling
                ),
            )
        )
    return points


def rankings(curves: dict[str, list[CurvePoint]], task: TaskPlan) -> list[AxisRanking]:
    """The arms at equal steps, seconds and flops: the largest that all of them reached."""
    reached = {arm: curve for arm, curve in curves.items() if curve}
    rankings = []
    for axis in get_args(Axis):
        position = {arm: [point.along(axis) for point in curve] for arm, curve in reached.items()}
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


def within_reach(score: Estimate, *, most: float | None) -> Estimate:
    """The part of its interval that a score can reach: no metric or loss is negative, and some have a ceiling.

    Student's t knows of no such ends. The interval of a difference, by which a verdict is given, is left whole.
    """
    most = math.inf if most is None else most
    if score.low is None or score.high is None or not 0 <= score.mean <= most:
        return score
    return score.model_copy(update={"low": max(score.low, 0.0), "high": min(score.high, most)})
