"""Matched budgets: solved within 2 % or refused, and the sizes that are planned with are those that are built."""

import random
import re
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.study.design.arms import DEFAULT_ARMS, mixers_of
from globalconv.study.design.build import (
    NARROWEST_MLP_RATIO,
    TOLERANCE,
    build_model,
    count_parameters,
    match_mlp_width,
    match_models,
    sizes,
)
from globalconv.study.design.presets import QUICK, SERIOUS
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
@settings(max_examples=15)
@given(drawn=matchings())
def test_every_arm_is_matched_or_left_out_with_a_reason(on, drawn):
    models, rival, signature = drawn
    matched, unmatched = match_models(models, rival, signature, on=on)
    assert matched[rival] == models[rival], "the rival stays as anyone would train it"
    assert {*matched} | {*unmatched} == {*models}
    assert not {*matched} & {*unmatched}
    target = sizes(models[rival], signature)[AXES[on]]
    for arm, model in matched.items():
        assert sizes(model, signature)[AXES[on]] == pytest.approx(target, rel=TOLERANCE)
        only = {"mlp_width": model.mlp_width, "mixer_options": model.mixer_options}
        assert model == models[arm].model_copy(update=only), "nothing else changes"
        if arm != rival:
            assert model.mlp_width >= NARROWEST_MLP_RATIO * model.width
            shares = [o.get("num_filters") for o in model.mixer_options.values() if "num_filters" in o]
            event(f"shared: {bool(shares)}")
    for arm, reason in unmatched.items():
        event("left out")
        assert "width" in reason
        assert "sequence" in reason
        alone = models[arm]
        for shared in (None, *(alone.width >> k for k in range(1, 7) if alone.width % 2**k == 0)):
            options = {
                name: alone.mixer_options.get(name, {}) | ({} if shared is None else {"num_filters": shared})
                for name in alone.mixers
                if name in ("global_conv", "gated_conv")
            }
            candidate = alone.model_copy(update={"mixer_options": alone.mixer_options | options})
            try:
                found = match_mlp_width(candidate, target, signature, on=on)
            except InputError:
                continue
            assert found.mlp_width < found.width, "it could have been matched"


def test_filters_are_shared_by_no_more_channels_than_it_takes():
    signature = Signature("next_token", True, 1024, 256, vocabulary=256)
    models = {arm: spec(arm, width=64, depth=2, mlp_width=256) for arm in ("attention", "global_conv")}
    matched, unmatched = match_models(models, "attention", signature, on="parameters")
    assert not unmatched
    (filters,) = [o["num_filters"] for o in matched["global_conv"].mixer_options.values()]
    assert matched["global_conv"].mlp_width >= 64
    twice = models["global_conv"].model_copy(
        update={"mixer_options": {"global_conv": {"num_filters": 2 * filters}}}
    )
    target = sizes(models["attention"], signature)[0]
    with pytest.raises(InputError, match="cannot be matched"):
        match_mlp_width(twice, target, signature, on="parameters")


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
        match_models(models, rival, signature, on=on)
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


def test_a_mixer_that_outweighs_the_rival_is_left_out_by_name():
    signature = Signature("classification", False, 784, 10, channels=1)
    rival, arm = (spec(name, width=4, depth=2) for name in ("attention", "token_mlp"))
    matched, unmatched = match_models({"a": rival, "b": arm}, "a", signature, on="parameters")
    assert list(matched) == ["a"]
    assert re.search(r"token_mlp cannot be matched.*784.*width 4", unmatched["b"])


BUILT_IN = {
    "recall": lambda options: Signature(
        "next_token", True, options["length"], options["vocabulary"], vocabulary=options["vocabulary"]
    ),
    "digits": lambda options: Signature("classification", False, 64, 10, channels=1),
    "text": lambda options: Signature("next_token", True, options["length"], 256, vocabulary=256),
    "fashion": lambda options: Signature("classification", False, 49, 10, channels=16),
}


@pytest.mark.parametrize(("kind", "presets"), list(product(BUILT_IN, (QUICK, SERIOUS))))
def test_the_built_in_tasks_match_with_a_filter_for_each_channel(kind, presets):
    preset = presets[kind]
    signature = BUILT_IN[kind](preset.options)
    models = {
        arm: spec(
            arm,
            width=preset.width,
            depth=preset.depth,
            heads=preset.heads,
            mlp_width=preset.mlp_ratio * preset.width,
        )
        for arm in arms_for(signature)
        if arm in DEFAULT_ARMS
    }
    for on in AXES:
        matched, unmatched = match_models(models, "attention", signature, on=on)
        assert not unmatched
        assert not any("num_filters" in o for m in matched.values() for o in m.mixer_options.values())
