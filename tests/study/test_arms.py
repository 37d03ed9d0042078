"""Arms: what a name means at every depth, and what is said about names that mean nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, find_mixer
from globalconv.study.design.arms import (
    DEFAULT_ARMS,
    DEFAULT_TWINS,
    HYBRID,
    TWINS,
    attends,
    mixers_of,
    twin_of,
)

depths = st.integers(1, 24)
patterns = st.lists(st.sampled_from([*MIXERS, "globalconv.mixers:GatedConv"]), min_size=1, max_size=5)


@given(patterns, depths)
def test_a_pattern_repeats_over_the_depth(pattern, depth):
    arm = "+".join(pattern)
    if len(pattern) > depth:
        with pytest.raises(InputError, match=f"--depth {len(pattern)} or more"):
            mixers_of(arm, depth)
        depth = len(pattern)
    mixers = mixers_of(arm, depth)
    assert len(mixers) == depth
    assert list(mixers[: len(pattern)]) == pattern
    assert all(mixers[block] == mixers[block - len(pattern)] for block in range(len(pattern), depth))
    assert attends(mixers) == ("attention" in pattern)


@given(st.sampled_from(sorted(MIXERS)), depths)
def test_a_mixer_alone_fills_every_block(name, depth):
    assert mixers_of(name, depth) == (name,) * depth


@given(st.integers(2, 24))
def test_a_hybrid_takes_turns_and_attends(depth):
    hybrid = mixers_of("hybrid", depth)
    assert hybrid == mixers_of("global_conv+attention", depth)
    assert set(hybrid[::2]) == {"global_conv"}
    assert set(hybrid[1::2]) == {"attention"}
    assert attends(hybrid)


@pytest.mark.parametrize(
    ("arm", "places"),
    [
        ("1of4", {4}),
        ("2of8", {4, 8}),
        ("3of8", {2, 5, 8}),
        ("3+7of8", {3, 7}),
        ("1of1", {1}),
        ("2+2of4", None),
    ],
)
def test_a_hybrid_says_which_blocks_attend(arm, places):
    if places is None:
        with pytest.raises(InputError, match="1of4"):
            mixers_of(f"hybrid[attention={arm}]", 8)
        return
    mixers = mixers_of(f"hybrid[attention={arm},mixer=gated_conv[short_taps=0]]", 8)
    every = int(arm.partition("of")[2])
    assert {place for place, name in enumerate(mixers[:every], 1) if name == "attention"} == places
    assert set(mixers) - {"attention"} <= {"gated_conv[short_taps=0]"}


@pytest.mark.parametrize(
    "arm", ["0of4", "5of4", "1of0", "4", "of4", "1+9of8", "x", "1of1000000000", f"1of{10**4000}"]
)
def test_what_is_no_hybrid_is_refused(arm):
    with pytest.raises(InputError, match="such as 1of4"):
        mixers_of(f"hybrid[attention={arm}]", 8)


def test_arms_carry_options():
    assert mixers_of("global_conv[filter=s4d,states=8]+attention", 2) == (
        "global_conv[filter=s4d,states=8]",
        "attention",
    )
    for arm, message in (
        ("global_conv[filter=s5d]", "Did you mean 's4d'"),
        ("global_conv[states=8]", "unknown option of global_conv 'states'"),
        ("hybrid[mixr=attention]", "Did you mean 'mixer'"),
        ("local_conv[taps=many]", "whole number"),
    ):
        with pytest.raises(InputError, match=message):
            mixers_of(arm, 2)


@given(st.integers(3, 24))
def test_a_hybrid_may_be_part_of_a_pattern(depth):
    assert mixers_of("hybrid+token_mlp", depth) == mixers_of("global_conv+attention+token_mlp", depth)


@pytest.mark.parametrize("arm", DEFAULT_ARMS)
def test_the_default_arms_exist_and_are_told_apart(arm):
    mixers = mixers_of(arm, 2)
    assert all(issubclass(find_mixer(name), find_mixer(name)) for name in mixers)
    assert all(mixers_of(other, 2) != mixers for other in DEFAULT_ARMS if other != arm)


def test_a_hybrid_needs_two_blocks():
    with pytest.raises(InputError, match=r"hybrid.*2 mixers.*--depth 2"):
        mixers_of("hybrid", 1)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("attenton", "attention"),
        ("globalconv", "global_conv"),
        ("gated-conv", "gated_conv"),
        ("hybird", "hybrid"),
        ("global_conv+atention", "attention"),
        ("token_mpl", "token_mlp"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(typed, meant):
    with pytest.raises(InputError, match=f"Did you mean '{meant}'"):
        mixers_of(typed, 4)


@pytest.mark.parametrize("typed", ["", "zzz", "global_conv+", "+", "global_conv,attention zz"])
def test_what_resembles_nothing_is_answered_with_all_names(typed):
    with pytest.raises(InputError) as error:
        mixers_of(typed, 4)
    assert all(name in str(error.value) for name in (*MIXERS, HYBRID))


@pytest.mark.parametrize(
    "typed", ["nowhere_at_all:Mixer", "globalconv.mixers:Missing", "globalconv.errors:InputError"]
)
def test_a_class_that_cannot_be_loaded_is_said(typed):
    with pytest.raises(InputError, match=typed.split(":")[1]):
        mixers_of(typed, 2)


@pytest.mark.parametrize(
    "arm",
    [
        *TWINS,
        "conv_both+attention",
        "attention/global_conv",
        "a/b",
        "pkg:Mixer/attention",
        "hybrid/pkg:Mixer",
    ],
)
def test_an_arm_of_encoder_decoders_is_said_to_be_one(arm):
    with pytest.raises(InputError, match="encoder-decoders") as error:
        mixers_of(arm, 2)
    told = str(error.value)
    assert f"'{arm}'" in told
    assert "(copy, reverse, sort, number_words, translation)" in told
    assert all(name in told for name in (*MIXERS, HYBRID))


def test_a_path_in_place_of_a_module_is_no_arm_of_encoder_decoders():
    with pytest.raises(InputError, match=r"write package\.module:Class, without a path"):
        mixers_of("folder/my_mixer:Mixer", 2)


def test_a_twin_names_its_encoder_its_decoder_and_how_it_reads():
    conv, attention = ("global_conv",) * 2, ("attention",) * 2
    hybrid = ("global_conv", "attention")
    assert twin_of("attention", 2) == (attention, attention, "attention")
    assert twin_of("global_conv", 2) == twin_of("conv_both", 2) == (conv, conv, "attention")
    assert twin_of("conv_encoder", 2) == twin_of("global_conv/attention", 2) == (conv, attention, "attention")
    assert twin_of("conv_decoder", 2) == (attention, conv, "attention")
    assert twin_of("hybrid", 2) == (hybrid, hybrid, "attention")
    assert twin_of("hybrid/global_conv", 2) == (hybrid, conv, "attention")
    assert twin_of("conv_cross", 2) == (conv, conv, "aligned_conv")
    assert twin_of("attention/attention/aligned_conv", 2).cross == "aligned_conv"


@pytest.mark.parametrize("arm", [*TWINS, *DEFAULT_TWINS])
def test_the_default_twins_are_told_apart(arm):
    assert all(twin_of(other, 2) != twin_of(arm, 2) for other in {*TWINS, *DEFAULT_TWINS} - {arm})


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("conv_encodr", "Did you mean 'conv_encoder'"),
        ("atention", "Did you mean 'attention'"),
        ("attention/atention", "Did you mean 'attention'"),
        ("attention/attention/aligned", "Did you mean 'aligned_conv'"),
        ("attention/", "ENCODER/DECODER/CROSS"),
        ("conv_encoder/attention", "conv_encoder is short for the whole of global_conv/attention"),
        ("conv_both+attention", "conv_both is short for the whole of global_conv/global_conv"),
        ("a/b/c/d", "ENCODER/DECODER/CROSS"),
    ],
)
def test_an_unknown_twin_is_answered_with_the_nearest(typed, told):
    with pytest.raises(InputError, match=told):
        twin_of(typed, 2)
