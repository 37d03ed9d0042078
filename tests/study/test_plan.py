"""A plan made from seconds that are given, not measured."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.study.plan import make_plan
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp
from tests.study.small_studies import prose

SECONDS = {"attention": 0.010, "gated_conv": 0.007, "global_conv": 0.005}


def warm_ups(specs: Sequence[RunSpec]) -> list[WarmUp]:
    return [
        WarmUp(seconds_per_step=SECONDS[spec.arm], seconds_per_evaluation=0.01, peak_memory_bytes=1)
        for spec in specs
    ]


def plan(data: Path, *, steps: int, arms: tuple[str, ...] = ("global_conv", "gated_conv")) -> StudyPlan:
    request = StudyRequest(
        tasks=(str(prose(data)),), arms=arms, length=16, steps=steps, seeds=2, match="seconds", sweep=False
    )
    return make_plan(request, command="", workers=1, warm_ups=warm_ups)


def test_equal_seconds_are_other_steps(tmp_path: Path) -> None:
    (task,) = plan(tmp_path, steps=700).tasks
    assert {arm.arm: arm.steps for arm in task.arms} == {
        "attention": 700,
        "gated_conv": 1000,
        "global_conv": 1400,
    }
    assert all(arm.matched == pytest.approx(1) for arm in task.arms)


def test_too_few_steps_to_match_seconds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gated_conv would do 1 step.*--steps"):
        plan(tmp_path, steps=1, arms=("gated_conv",))
