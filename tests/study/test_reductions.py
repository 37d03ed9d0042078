"""A study of a user's own data is cut down until it fits its budget, in an order that is told."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.options import parse_duration
from globalconv.study.design import plan
from globalconv.study.design.estimate import estimate_warm_up
from globalconv.study.design.plan import make_plan
from globalconv.study.design.reductions import Reduction, reductions
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, TaskPlan, WarmUp
from tests.study.small_studies import prose

NUM = 300


@pytest.fixture(autouse=True)
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes none of the budget, however busy this machine is."""
    monkeypatch.setattr(plan, "time", SimpleNamespace(monotonic=lambda: 0.0))


class Machine:
    """A machine ``slowness`` times as slow as the estimate takes every machine to be."""

    def __init__(self, slowness: float = 1.0) -> None:
        self.slowness = slowness
        self.rounds = 0

    def __call__(self, specs: Sequence[RunSpec], until: float) -> Iterator[tuple[int, WarmUp]]:
        del until
        self.rounds += 1
        for index, spec in enumerate(specs):
            task = rebuild_task(spec.task)
            cost = estimate_warm_up(
                spec.model,
                task.signature,
                batch_size=spec.training.batch_size,
                held_out=(task.num_examples("validation"), task.num_examples("test")),
                device="cpu",
            )
            yield (
                index,
                WarmUp(
                    seconds_per_step=self.slowness * cost.seconds_per_step,
                    seconds_per_evaluation=self.slowness * cost.seconds_per_evaluation,
                    seconds_per_test=self.slowness * cost.seconds_per_test,
                    peak_memory_bytes=1,
                ),
            )


def series(folder: Path, *, length: int, channels: int = 1) -> str:
    path = folder / f"series{length}.npz"
    rng = np.random.default_rng(0)
    np.savez(path, X=rng.normal(size=(NUM, length, channels)).astype(np.float32), y=np.arange(NUM) % 3)
    return str(path)


def planned(machine: Machine | None = None, **asked: object) -> StudyPlan:
    request = StudyRequest.model_validate({"budget_seconds": 360.0, "device": "cpu"} | asked)
    return make_plan(request, command="", workers=2, warm_ups=machine or Machine())


def sizes_of(task: TaskPlan) -> tuple[int, int, int, int, int]:
    model = task.arms[0].model
    return task.length, task.batch_size, model.width, task.depth, len(task.arms)


@pytest.mark.parametrize("length", [96, 512, 4096])
@pytest.mark.parametrize("slowness", [0.5, 1.0, 4.0])
def test_series_of_any_length_get_an_answer_within_the_budget(
    tmp_path: Path, length: int, slowness: float
) -> None:
    study = planned(Machine(slowness), tasks=(series(tmp_path, length=length),))
    (task,) = study.tasks
    assert study.planned_seconds <= 360.0
    assert len(study.seeds) >= 2
    assert {"attention", "global_conv", "gated_conv"} <= {arm.arm for arm in task.arms}
    assert min(arm.steps for arm in task.arms) >= 75
    told = " ".join(study.cuts)
    assert ("consecutive positions form one token" in told) == (task.length < length)
    assert (f"batch size {task.batch_size} instead of 32" in told) == (task.batch_size < 32)
    assert (f"width {task.arms[0].model.width} instead of 64" in told) == (task.arms[0].model.width < 64)
    assert "Nothing is cut from about --budget" in told


@pytest.mark.parametrize("length", [256, 1024, 4096])
def test_text_at_any_length_that_was_asked_for_gets_an_answer(tmp_path: Path, length: int) -> None:
    text = prose(tmp_path, size=200_000)
    study = planned(tasks=(str(text),), length=length)
    (task,) = study.tasks
    assert task.length == length, "what the user chose is not cut"
    assert study.planned_seconds <= 360.0
    assert len(study.seeds) == 3
    assert min(arm.steps for arm in task.arms) >= 100


def test_what_would_not_be_cut_is_not(tmp_path: Path) -> None:
    """The budget that is named holds the study as it would be without any."""
    path = series(tmp_path, length=128)
    study = planned(tasks=(path,))
    named = re.search(r"Nothing is cut from about --budget (\w+) on", " ".join(study.cuts))
    assert named is not None
    larger = planned(tasks=(path,), budget_seconds=parse_duration(named[1]))
    (task,) = larger.tasks
    assert task.length == 128
    assert task.batch_size == 32
    assert task.arms[0].steps >= 600
    assert not larger.coarse_sweep
    assert larger.cuts == ()


@given(st.floats(60.0, 5000.0), st.floats(1.0, 4.0))
@settings(max_examples=15, deadline=None)
def test_a_larger_budget_never_cuts_more(budget: float, factor: float) -> None:
    found = [
        planned(tasks=("recall",), arms=("global_conv",), length=64, budget_seconds=b)
        for b in (budget, factor * budget)
    ]
    small, large = ((study.tasks[0], study) for study in found)
    if (budget >= 1800) == (factor * budget >= 1800):
        assert all(a <= b for a, b in zip(sizes_of(small[0]), sizes_of(large[0]), strict=True))
        assert len(small[1].seeds) <= len(large[1].seeds)


def test_sizes_do_not_depend_on_a_machine_that_is_a_little_busy(tmp_path: Path) -> None:
    path = series(tmp_path, length=512, channels=2)
    quiet, busy = (planned(Machine(slowness), tasks=(path,)) for slowness in (1.0, 1.5))
    assert sizes_of(quiet.tasks[0]) == sizes_of(busy.tasks[0])
    assert quiet.seeds == busy.seeds


def test_a_machine_that_is_far_slower_is_measured_again_at_smaller_sizes(tmp_path: Path) -> None:
    machine = Machine(6.0)
    study = planned(machine, tasks=(series(tmp_path, length=512, channels=2),))
    assert 2 <= machine.rounds <= 3
    assert study.planned_seconds <= 360.0


@pytest.mark.parametrize("slowness", [0.5, 1.0, 2.0])
def test_the_default_study_is_the_same_on_every_machine(slowness: float) -> None:
    study, reference = (
        planned(Machine(s), tasks=("recall", "digits"), budget_seconds=None) for s in (slowness, 1.0)
    )
    assert study.budget_seconds is None
    assert study.cuts == ()
    for task, same in zip(study.tasks, reference.tasks, strict=True):
        assert task.model_copy(update={"arms": ()}) == same.model_copy(update={"arms": ()})
        for arm, twin in zip(task.arms, same.arms, strict=True):
            assert arm.model_copy(update={"warm_up": twin.warm_up}) == twin


def test_rates_that_ship_are_said_to_only_where_they_do(tmp_path: Path) -> None:
    """Of other arms, sizes and data a rate that is not swept is a guess."""
    own = str(prose(tmp_path, size=50_000))
    for asked, shipped in (
        ({"tasks": ("recall",)}, True),
        ({"tasks": ("recall",), "length": 64}, False),
        ({"tasks": ("recall",), "width": 32}, False),
        ({"tasks": ("recall",), "arms": ("gated_conv+global_conv",)}, False),
        ({"tasks": (own,)}, False),
        ({"tasks": ("text",), "length": 128}, False),
    ):
        study = planned(budget_seconds=None, steps=100, sweep=False, **asked)
        sources = {arm.rate_source for task in study.tasks for arm in task.arms}
        assert all(("shipped" in source) == shipped for source in sources), (asked, sources)
        assert all(task.tuned == shipped for task in study.tasks)


def test_the_rival_is_a_standard_transformer_at_every_length(tmp_path: Path) -> None:
    for length in (64, 512, 4096):
        (task,) = planned(
            tasks=(series(tmp_path, length=length),), patch=1, steps=5, budget_seconds=None
        ).tasks
        (rival,) = (arm for arm in task.arms if arm.arm == "attention")
        assert rival.model.mlp_width == 4 * rival.model.width
        assert "num_filters" not in str(rival.model.mixer_options)
    assert "token_mlp" in task.left_out
    assert any("share one filter" in notice for notice in task.notices)


@pytest.mark.parametrize(
    ("asked", "named"),
    [({}, None), ({"steps": 100_000}, "--steps"), ({"seeds": 500, "steps": 1000}, "--steps or --seeds")],
)
def test_a_budget_that_holds_nothing_is_refused_before_anything_is_measured(
    asked: dict[str, object], named: str | None
) -> None:
    machine = Machine()
    with pytest.raises(InputError) as error:
        planned(machine, tasks=("recall",), budget_seconds=15.0, **asked)
    assert machine.rounds == 0
    message = str(error.value)
    if named is not None:
        assert f"give less to {named}" in message
    budget = re.search(r"Give it --budget (\w+)\.", message)
    assert budget is not None
    assert planned(tasks=("recall",), budget_seconds=parse_duration(budget[1]), **asked)


def test_the_default_budget_is_named_where_it_holds_nothing() -> None:
    with pytest.raises(InputError, match=r"--budget 5m is too small.* give less to --seeds"):
        planned(tasks=("recall",), length=64, seeds=1000, budget_seconds=None)


def test_steps_of_the_users_own_take_what_they_take(tmp_path: Path) -> None:
    path = series(tmp_path, length=512)
    study = planned(tasks=(path,), steps=1234, budget_seconds=None)
    assert study.budget_seconds is None
    assert {arm.steps for arm in study.tasks[0].arms} == {1234}
    assert study.tasks[0].length == 512
    assert study.tasks[0].batch_size == 32


def test_patches_that_were_asked_for_are_kept(tmp_path: Path) -> None:
    (task,) = planned(tasks=(series(tmp_path, length=512, channels=2),), patch=8).tasks
    assert task.length == 64
    assert task.task.options["patch"] == 8
    assert rebuild_task(task.task).signature.channels == 16


def test_cuts_grow_one_at_a_time() -> None:
    found = list(reductions())
    assert len(found) == len(set(found))
    for before, after in pairwise(found):
        changed = [
            name for name in Reduction.__dataclass_fields__ if getattr(before, name) != getattr(after, name)
        ]
        assert len(changed) == 1
