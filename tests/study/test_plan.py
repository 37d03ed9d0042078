"""A plan made from seconds that are given, not measured."""

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.study.answer.methods import describe_methods
from globalconv.study.design.arms import DEFAULT_TWINS
from globalconv.study.design.plan import make_plan
from globalconv.study.design.sweep import SWEEP_SEEDS
from globalconv.study.spec import RunSpec, StudyPlan, StudyRequest, WarmUp
from tests.study.small_studies import prose

SECONDS = {"attention": 0.010, "gated_conv": 0.007, "global_conv": 0.005}


def warm_ups(specs: Sequence[RunSpec], until: float) -> Generator[tuple[int, WarmUp], None, None]:
    del until
    for index, spec in enumerate(specs):
        yield (
            index,
            WarmUp(
                seconds_per_step=SECONDS.get(spec.arm, 0.010),
                seconds_per_evaluation=0.01,
                seconds_per_test=0.01,
                peak_memory_bytes=1,
            ),
        )


def plan(data: Path, *, steps: int, arms: tuple[str, ...] = ("global_conv", "gated_conv")) -> StudyPlan:
    request = StudyRequest(
        tasks=(str(prose(data)),),
        arms=arms,
        length=16,
        steps=steps,
        seeds=2,
        match="seconds",
        sweep=False,
        device="cpu",
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


def pairs_plan(**options: object) -> StudyPlan:
    request = StudyRequest.model_validate(
        {"tasks": ("copy",), "length": 8, "width": 16, "depth": 2, "heads": 2, "steps": 100, "seeds": 2}
        | {"sweep": False, "budget_seconds": 1e6, "device": "cpu"}
        | options
    )
    return make_plan(request, command="", workers=1, warm_ups=warm_ups)


@pytest.mark.parametrize("design", ["original", "modern"])
def test_arms_of_an_encoder_decoder_are_matched_and_of_one_design(design: str) -> None:
    (task,) = pairs_plan(design=design).tasks
    assert [arm.arm for arm in task.arms] == list(DEFAULT_TWINS)
    assert all(arm.matched == pytest.approx(1, abs=0.02) for arm in task.arms)
    assert all(arm.model.decoder and arm.model.decoder.design == design for arm in task.arms)
    run = pairs_plan(design=design).run(task, task.arms[0], rate=1e-3, seed=0, purpose="final")
    assert (run.training.schedule, run.training.label_smoothing, run.training.weight_decay) == (
        ("inverse_sqrt", 0.1, 0.0) if design == "original" else ("cosine", 0.0, 0.05)
    )
    assert RunSpec.model_validate_json(run.model_dump_json()).name == run.name


def test_methods_say_of_each_design_how_it_is_trained_and_of_no_other() -> None:
    """AdamW and clipping are not the paper's; 'the original design' is nothing to say of a classifier."""
    said = {
        "original": "\n".join(describe_methods(pairs_plan(design="original"))),
        "modern": "\n".join(describe_methods(pairs_plan(design="modern"))),
        "both kinds": "\n".join(
            describe_methods(pairs_plan(tasks=("copy", "recall"), arms=("gated_conv",), length=24))
        ),
    }
    assert "1706.03762" in said["original"]
    assert "AdamW" not in said["original"]
    assert "1706.03762" not in said["modern"]
    assert "Blocks: pre-norm, GELU; AdamW" in said["modern"]
    assert "1706.03762" in said["both kinds"]
    assert "Without a decoder: pre-norm, GELU; AdamW" in said["both kinds"]


def test_methods_name_both_seeds_of_a_sweep() -> None:
    swept = " ".join(describe_methods(pairs_plan(sweep=True)))
    assert all(f"seed {seed}" in swept for seed in SWEEP_SEEDS)
    assert not any(f"seed {seed}" in " ".join(describe_methods(pairs_plan())) for seed in SWEEP_SEEDS)


def test_what_keeps_cross_attention_is_told() -> None:
    (task,) = pairs_plan(arms=("conv_both", "conv_cross")).tasks
    assert any("all but conv_cross keep cross-attention" in notice for notice in task.notices)


def test_a_decoder_that_is_not_causal_is_left_out() -> None:
    (task,) = pairs_plan(arms=("token_mlp", "token_mlp/attention", "fnet", "conv_both")).tasks
    assert set(task.left_out) == {"token_mlp", "fnet"}
    assert "this task hides the future" in task.left_out["fnet"]
    assert {"token_mlp/attention", "conv_both"} <= {arm.arm for arm in task.arms}


def test_an_encoder_that_only_looks_back_is_left_out() -> None:
    (task,) = pairs_plan(arms=("gated_delta", "attention/gated_delta", "conv_both")).tasks
    assert "shows the whole sequence" in task.left_out.pop("gated_delta")
    assert not task.left_out


def test_a_design_for_what_has_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--design modern"):
        pairs_plan(tasks=("recall",), design="modern", length=32)


@pytest.mark.parametrize(
    ("asked", "swept"),
    [
        ({}, False),
        ({"length": 32}, False),
        ({"length": 31}, True),
        ({"steps": 100}, False),
        ({"width": 64}, False),
        ({"width": 32}, True),
        ({"tasks": ("recall",), "arms": ("gated_conv",), "vocabulary": 64}, False),
        ({"tasks": ("recall",), "arms": ("gated_conv",), "vocabulary": 65}, True),
    ],
)
def test_sizes_that_are_as_shipped_need_no_sweep_said_or_not(asked: dict[str, object], swept: bool) -> None:
    given = {"tasks": ("copy",), "steps": 100, "seeds": 2, "budget_seconds": 1799.0, "device": "cpu"} | asked
    found = make_plan(StudyRequest.model_validate(given), command="", workers=2, warm_ups=warm_ups)
    assert found.sweep == swept
    assert all(task.tuned for task in found.tasks)
