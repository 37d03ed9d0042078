"""The report written once before anything is trained: what would stop it then stops it now."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from globalconv.study.runs.directory import REHEARSAL
from globalconv.study.schema import ArmAnswer, CurvePoint, Estimate, RatePoint, StudyAnswer


def rehearse(answer: StudyAnswer, out: Path, write: Callable[[StudyAnswer, Path], object]) -> None:
    """``write`` the study's report with made-up scores into a folder of ``out`` that is removed again.

    ``answer`` is what the study can say before any run: its names, sizes and words. Raises what ``write`` raises.
    """
    tasks = [
        task.model_copy(update={"arms": [_trained(arm, is_rival=arm.arm == task.rival) for arm in task.arms]})
        for task in answer.tasks
    ]
    made_up = answer.model_copy(update={"tasks": tasks})
    with TemporaryDirectory(dir=out, prefix=REHEARSAL) as folder:
        write(made_up, Path(folder))


def _trained(arm: ArmAnswer, *, is_rival: bool) -> ArmAnswer:
    score = Estimate(mean=0.5, low=0.4, high=0.6, num_seeds=2)
    points = [CurvePoint(step=step, seconds=step, flops=1e9 * step, value=score) for step in (1, 2)]
    rates = [RatePoint(learning_rate=rate, value=0.5) for rate in (1e-3, 1e-2)]
    return arm.model_copy(
        update={
            "metric": score,
            "difference": None if is_rival else score,
            "curve": points,
            "rates": rates,
            "learning_rate": 1e-2,
        }
    )
