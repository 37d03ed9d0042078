"""Matched budgets: solved within 2 % or refused, and the sizes that are planned with are those that are built."""

import random
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.study.arms import DEFAULT_ARMS, mixers_of
from globalconv.study.build import (
    NARROWEST_MLP_RATIO,
    TOLERANCE,
    WIDEST_MLP_RATIO,
    build_model,
    count_parameters,
    match_mlp_width,
    match_models,
    sizes,
)
from globalconv.study.presets import QUICK, SERIOUS
from globalconv.study.spec import ModelSpec
from globalconv.tasks.base import Signature

AXES = {"parameters": 0, "flops": 1, "seconds": 0}


def spec(arm: str, *, width: int, depth: int, heads: int = 2, mlp_width: int | None = None) -> ModelSpec:
    mixers = mixers_of(arm, depth)
    options = {"attention": {"num_heads": heads}} if "attention" in mixers else {}
    return ModelSpec(mixers=mixers, mixer_options=options, width=width, mlp_width=mlp_width or 2 * width)


@st.composite
def signatures(draw: st.DrawFn, *, longest: int = 300) -> Signature:
    length = draw(st.one_of(st.integers(1, 16), st.integers(1, longest)))
    if draw(st.booleans()):
        vocabulary = draw(st.integers(2, 300))
        return Signature("next_token", True, length, vocabulary, vocabulary=vocabulary)
    classes, inputs = draw(st.integers(2, 100)), draw(st.integers(1, 12))
    if draw(st.booleans()):
        return Signature("classification", False, length, classes, channels=inputs)
    return Signature("classification", False, length, classes, vocabulary=inputs + 1)


def arms_for(signature: Signature) -> list[str]:
    patterns = [*DEFAULT_ARMS, "gated_conv+global_conv", "global_conv+global_conv+attention"]
    return [arm for arm in patterns if not (signature.causal and "token_mlp" in arm)]


widths = st.integers(1, 24).map(lambda quarter: 4 * quarter)


@st.composite
def matchings(draw: st.DrawFn):
    signature, width, depth = draw(signatures()), draw(widths), draw(st.integers(3, 4))
    arms = draw(st.lists(st.sampled_from(arms_for(signature)), unique=True, min_size=2, max_size=3))
    models = {arm: spec(arm, width=width, depth=depth) for arm in arms}
    return models, draw(st.sampled_from(sorted(models))), signature


@pytest.mark.parametrize("on", AXES)
@settings(max_examples=10)
@given(drawn=matchings(), mlp_ratio=st.sampled_from([2, 4]))
def test_every_arm_is_matched_or_the_way_out_is_named(on, drawn, mlp_ratio):
    models, rival, signature = drawn
    try:
        matched, ratio = match_models(models, rival, signature, on=on, mlp_ratio=mlp_ratio)
    except InputError as error:
        event("refused")
        other = "parameters" if on == "flops" else "flops"
        refusal = str(error)
        for way_out in ("--width", "--length", f"--match {other}", "--arms"):
            assert way_out in refusal
        return
    event(f"matched at {ratio}")
    assert list(matched) == list(models)
    assert matched[rival].mlp_width == ratio * models[rival].width
    target = sizes(matched[rival], signature)[AXES[on]]
    for arm, model in matched.items():
        assert sizes(model, signature)[AXES[on]] == pytest.approx(target, rel=TOLERANCE)
        assert model == models[arm].model_copy(update={"mlp_width": model.mlp_width}), "nothing else changes"
    assert 2 * ratio > WIDEST_MLP_RATIO or not cripples(matched)
    if ratio > mlp_ratio:
        with pytest.raises((InputError, Crippled)):
            at_ratio(models, rival, signature, on=on, ratio=ratio // 2)


class Crippled(Exception):
    """An arm is left with hardly any channel MLP."""


def cripples(models: dict[str, ModelSpec]) -> bool:
    return min(model.mlp_width / model.width for model in models.values()) < NARROWEST_MLP_RATIO


def at_ratio(models, rival, signature, *, on, ratio):
    rival_model = models[rival].model_copy(update={"mlp_width": ratio * models[rival].width})
    target = sizes(rival_model, signature)[AXES[on]]
    others = [model for arm, model in models.items() if arm != rival]
    if cripples({str(i): match_mlp_width(model, target, signature, on=on) for i, model in enumerate(others)}):
        raise Crippled


@pytest.mark.parametrize("on", AXES)
@settings(max_examples=10)
@given(drawn=matchings(), factor=st.floats(0.3, 3.0), data=st.data())
def test_the_width_that_is_found_is_the_nearest(on, drawn, factor, data):
    models, rival, signature = drawn
    arm = models[data.draw(st.sampled_from(sorted(models)))]
    target = factor * sizes(models[rival], signature)[AXES[on]]

    def miss(mlp_width: int) -> float:
        model = arm.model_copy(update={"mlp_width": mlp_width})
        return abs(sizes(model, signature)[AXES[on]] / target - 1)

    try:
        found = match_mlp_width(arm, target, signature, on=on).mlp_width
    except InputError:
        # Sizes grow evenly with the width, so that the nearest lies by a straight line through two of them.
        one, two = (sizes(arm.model_copy(update={"mlp_width": w}), signature)[AXES[on]] for w in (1, 2))
        nearest = max(1, round(1 + (target - one) / (two - one)))
        assert all(miss(max(1, nearest + near)) > TOLERANCE for near in (-1, 0, 1))
        return
    assert miss(found) <= TOLERANCE
    assert miss(found) <= miss(found + 1)
    assert found == 1 or miss(found) <= miss(found - 1)


@settings(max_examples=20)
@given(drawn=matchings(), data=st.data())
def test_planned_sizes_are_those_of_the_model_that_is_built(drawn, data):
    models, _, signature = drawn
    model_spec = models[data.draw(st.sampled_from(sorted(models)))]
    planned = sizes(model_spec, signature)
    model = build_model(model_spec, signature)
    assert planned == (count_parameters(model), model.flops(signature.length) / signature.length)
    assert count_parameters(model) == sum(t.numel() for t in model.state_dict().values())
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())


@settings(max_examples=10)
@given(signatures(longest=40), st.data())
def test_the_built_model_fits_the_signature(signature, data):
    arm = data.draw(st.sampled_from(arms_for(signature)))
    model = build_model(spec(arm, width=8, depth=3), signature)
    shape = (2, signature.length)
    inputs = (
        torch.randn(*shape, signature.channels)
        if signature.vocabulary is None
        else torch.randint(signature.vocabulary, shape)
    )
    outputs = (signature.length, signature.num_outputs) if signature.causal else (signature.num_outputs,)
    assert model(inputs).shape == (2, *outputs)
    assert [type(mixer).__name__.lower() for mixer in model.stack.mixers] == [
        name.replace("_", "") for name in mixers_of(arm, 3)
    ]


def random_states():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002


@settings(max_examples=10)
@given(matchings(), st.sampled_from(sorted(AXES)))
def test_planning_draws_nothing(drawn, on):
    models, rival, signature = drawn
    torch_before, numpy_before, python_before = random_states()
    try:
        match_models(models, rival, signature, on=on, mlp_ratio=2)
    except InputError:
        event("refused")
    torch_after, numpy_after, python_after = random_states()
    assert torch.equal(torch_before, torch_after)
    assert np.array_equal(numpy_before, numpy_after)
    assert python_before == python_after
    build_model(models[rival], signature)
    assert not torch.equal(torch_before, torch.get_rng_state()), "building a model does draw"


def test_equal_seeds_build_equal_models(seed):
    signature = Signature("next_token", True, 24, 50, vocabulary=50)
    states = []
    for start in (seed, seed, seed + 1):
        torch.manual_seed(start)
        states.append(build_model(spec("hybrid", width=16, depth=2), signature).state_dict())
    first, same, other = states
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_mixer_that_outweighs_the_rival_is_refused_by_name():
    signature = Signature("classification", False, 784, 10, channels=1)
    rival, arm = (spec(name, width=4, depth=2) for name in ("attention", "token_mlp"))
    with pytest.raises(InputError, match=r"token_mlp cannot be matched.*784.*width 4"):
        match_models({"a": rival, "b": arm}, "a", signature, on="parameters", mlp_ratio=2)


def test_the_rival_widens_until_every_arm_fits():
    """784 taps per channel outweigh attention and its MLP at this width; with a wider MLP they do not."""
    signature = Signature("classification", False, 784, 10, channels=1)
    models = {arm: spec(arm, width=32, depth=2) for arm in ("attention", "global_conv")}
    target = sizes(models["attention"], signature)[0]
    with pytest.raises(InputError):
        match_mlp_width(models["global_conv"], target, signature, on="parameters")
    matched, ratio = match_models(models, "attention", signature, on="parameters", mlp_ratio=2)
    assert ratio > 2
    smaller = {arm: model.model_copy(update={"mlp_width": ratio // 2 * 32}) for arm, model in models.items()}
    too_small = sizes(smaller["attention"], signature)[0]
    with pytest.raises(InputError):
        match_mlp_width(models["global_conv"], too_small, signature, on="parameters")
    assert matched["attention"].mlp_width == ratio * 32


BUILT_IN = {
    "recall": lambda options: Signature(
        "next_token", True, options["length"], options["vocabulary"], vocabulary=options["vocabulary"]
    ),
    "digits": lambda options: Signature("classification", False, 64, 10, channels=1),
    "text": lambda options: Signature("next_token", True, options["length"], 256, vocabulary=256),
    "fashion": lambda options: Signature("classification", False, 49, 10, channels=16),
}


@pytest.mark.parametrize(("kind", "presets"), list(product(BUILT_IN, (QUICK, SERIOUS))))
def test_the_built_in_tasks_match_at_the_rival_s_usual_width(kind, presets):
    preset = presets[kind]
    signature = BUILT_IN[kind](preset.options)
    models = {
        arm: spec(arm, width=preset.width, depth=preset.depth, heads=preset.heads)
        for arm in arms_for(signature)
        if arm in DEFAULT_ARMS
    }
    for on in AXES:
        _, ratio = match_models(models, "attention", signature, on=on, mlp_ratio=preset.mlp_ratio)
        assert ratio == preset.mlp_ratio
