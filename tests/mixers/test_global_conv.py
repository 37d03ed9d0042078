"""The plain global convolution: its formula, its symmetries, and what it cannot do."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.mixers import GatedConv, GlobalConv
from globalconv.ops import global_conv
from tests.mixers.jacobians import token_jacobian

lengths = st.integers(1, 17)
seeds = st.integers(0, 2**31 - 1)


def drawn(length: int, *, input_length: int, seed: int, width: int = 3, **ends):
    """``ends``: causal or mode."""
    torch.manual_seed(seed)
    mixer = GlobalConv(width, length, **ends).double()
    torch.nn.init.normal_(mixer.skip)
    return mixer, torch.randn(2, input_length, width, dtype=torch.float64)


@given(length=lengths, input_length=lengths, causal=st.booleans(), seed=seeds)
def test_is_the_formula(length, input_length, causal, seed):
    mixer, x = drawn(length, causal=causal, input_length=input_length, seed=seed)
    expected = mixer.skip * x
    for t in range(input_length):
        for s in range(min(length, input_length)):
            if causal and s > t:
                continue
            expected[:, t] += mixer.filter.taps[:, s] * x[:, (t - s) % input_length]
    torch.testing.assert_close(mixer(x), expected)


@given(length=lengths, input_length=lengths, seed=seeds)
def test_bidirectional_is_the_formula_with_zeros_outside(length, input_length, seed):
    mixer, x = drawn(length, mode="bidirectional", input_length=input_length, seed=seed)
    expected = mixer.skip * x
    for t in range(input_length):
        for u in range(input_length):
            if abs(t - u) < length:
                expected[:, t] += mixer.filter.taps[:, t - u + length - 1] * x[:, u]
    torch.testing.assert_close(mixer(x), expected)


@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
def test_mode_and_causal_say_the_same_or_are_refused(kind):
    for options, mode in [
        ({}, "circular"),
        ({"causal": False}, "circular"),
        ({"causal": True}, "causal"),
        ({"mode": "causal"}, "causal"),
        ({"mode": "bidirectional"}, "bidirectional"),
        ({"mode": "bidirectional", "causal": False}, "bidirectional"),
        ({"mode": "causal", "causal": True}, "causal"),
    ]:
        mixer = kind(4, 6, **options)
        assert (mixer.mode, mixer.causal) == (mode, mode == "causal")
        assert f"4, 6, mode='{mode}'" in repr(mixer)
    for mode, causal in [("circular", True), ("bidirectional", True), ("causal", False)]:
        with pytest.raises(InputError, match=f"mode '{mode}' is.* causal, and causal is {causal}"):
            kind(4, 6, mode=mode, causal=causal)
    with pytest.raises(InputError, match="Did you mean 'bidirectional'"):
        kind(4, 6, mode="bidirectonal")


@given(length=lengths, causal=st.booleans(), seed=seeds)
def test_is_the_operator_and_a_skip(length, causal, seed):
    mixer, x = drawn(length, causal=causal, input_length=length, seed=seed)
    mode = "causal" if causal else "circular"
    by_hand = global_conv(x, mixer.filter.taps, mode=mode) + mixer.skip * x
    torch.testing.assert_close(mixer(x), by_hand)


@given(length=lengths, input_length=lengths, shift=st.integers(-20, 20), seed=seeds)
def test_circular_is_shift_equivariant(length, input_length, shift, seed):
    mixer, x = drawn(length, causal=False, input_length=input_length, seed=seed)
    torch.testing.assert_close(mixer(x.roll(shift, 1)), mixer(x).roll(shift, 1))


@given(length=lengths, causal=st.booleans(), seed=seeds)
def test_is_linear_and_never_mixes_channels(length, causal, seed):
    mixer, x = drawn(length, causal=causal, input_length=length, seed=seed)
    jacobian = token_jacobian(mixer, x[0])
    torch.testing.assert_close(token_jacobian(mixer, x[1]), jacobian)
    across = ~torch.eye(3, dtype=torch.bool)
    assert not jacobian.permute(1, 3, 0, 2)[across].any()
    torch.testing.assert_close(torch.einsum("tcud,bud->btc", jacobian, x), mixer(x))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("init", ["flat", "decay"])
def test_backends_agree(causal, init, generator):
    mixer = GlobalConv(4, 13, causal=causal, init=init).double()
    x = torch.randn(2, 13, 4, generator=generator, dtype=torch.float64)
    outputs = []
    for backend in (None, "reference", "spectral"):
        mixer.backend = backend
        outputs.append(mixer(x))
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[0], outputs[2])


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match="Did you mean 'spectral'"):
        GlobalConv(4, 13, backend="spectrall")(torch.randn(1, 13, 4))


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(InputError, match="Did you mean 'decay'"):
        GlobalConv(4, 13, init="decai")  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "length"), [(0, 4), (4, 0), (-1, 4)])
def test_an_empty_shape_is_refused(width, length):
    with pytest.raises(InputError, match="at least 1"):
        GlobalConv(width, length)


@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
@given(length=lengths, causal=st.booleans(), num_filters=st.sampled_from([1, 2, 3, 6]), seed=seeds)
def test_shared_filters_are_one_filter_for_channels_side_by_side(kind, length, causal, num_filters, seed):
    torch.manual_seed(seed)
    shared = kind(6, length, causal=causal, num_filters=num_filters).double()
    own = kind(6, length, causal=causal).double()
    weights = shared.state_dict()
    weights["filter.taps"] = weights["filter.taps"].repeat_interleave(6 // num_filters, dim=0)
    own.load_state_dict(weights)
    assert shared.filter.taps.shape == (num_filters, length)
    x = torch.randn(2, length, 6, dtype=torch.float64)
    torch.testing.assert_close(shared(x), own(x))


@pytest.mark.parametrize("kind", [GlobalConv, GatedConv])
@pytest.mark.parametrize("num_filters", [0, -1, 4, 12])
def test_filters_that_cannot_be_shared_evenly_are_refused(kind, num_filters):
    with pytest.raises(InputError, match=r"Use num_filters of 1, 2, 3, 6"):
        kind(6, 8, num_filters=num_filters)
