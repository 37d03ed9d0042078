"""The gated convolution: its formula, and what the gates add."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from globalconv.mixers import GatedConv
from globalconv.ops import global_conv
from globalconv.ops.interface import MODES
from tests.mixers.jacobians import token_jacobian

lengths = st.integers(1, 17)
seeds = st.integers(0, 2**31 - 1)


def drawn(length: int, *, input_length: int, seed: int, width: int = 3, **ends):
    """``ends``: causal or mode."""
    torch.manual_seed(seed)
    mixer = GatedConv(width, length, **ends).double()
    return mixer, torch.randn(2, input_length, width, dtype=torch.float64)


def by_hand(mixer: GatedConv, x: Tensor, *, short: bool) -> Tensor:
    """y = W (q . (h * (k . v) + d k . v)), one projection at a time."""
    mode, looks_back = mixer.mode, "circular" if mixer.mode == "circular" else "causal"
    parts = []
    for i in range(3):
        rows = slice(i * mixer.width, (i + 1) * mixer.width)
        part = x @ mixer.project.weight[rows].T + mixer.project.bias[rows]
        if short:
            part = global_conv(part, mixer.short_filter.taps[rows, : x.shape[1]], mode=looks_back)
        parts.append(part)
    q, k, v = parts
    taps = mixer.filter.taps if mode == "bidirectional" else mixer.filter.taps[:, : x.shape[1]]
    mixed = global_conv(k * v, taps, mode=mode) + mixer.skip * k * v
    return (q * mixed) @ mixer.output.weight.T + mixer.output.bias


@given(length=lengths, input_length=lengths, causal=st.booleans(), seed=seeds)
def test_starts_without_its_short_convolution(length, input_length, causal, seed):
    mixer, x = drawn(length, causal=causal, input_length=input_length, seed=seed)
    torch.testing.assert_close(mixer(x), by_hand(mixer, x, short=False))


@given(length=lengths, input_length=lengths, mode=st.sampled_from(MODES), seed=seeds)
def test_is_the_formula(length, input_length, mode, seed):
    mixer, x = drawn(length, mode=mode, input_length=input_length, seed=seed)
    torch.nn.init.normal_(mixer.short_filter.taps)
    torch.nn.init.normal_(mixer.skip)
    torch.testing.assert_close(mixer(x), by_hand(mixer, x, short=True))


@given(length=lengths, shift=st.integers(-20, 20), seed=seeds)
def test_circular_is_shift_equivariant(length, shift, seed):
    mixer, x = drawn(length, causal=False, input_length=length, seed=seed)
    torch.nn.init.normal_(mixer.short_filter.taps)
    torch.testing.assert_close(mixer(x.roll(shift, 1)), mixer(x).roll(shift, 1))


@given(length=st.integers(2, 9), causal=st.booleans(), seed=seeds)
def test_its_mixing_depends_on_the_content(length, causal, seed):
    mixer, x = drawn(length, causal=causal, input_length=length, seed=seed)
    first, second = token_jacobian(mixer, x[0]), token_jacobian(mixer, x[1])
    assert (first - second).norm() > 0.1 * first.norm()


@given(length=lengths, causal=st.booleans(), seed=seeds)
def test_without_biases_it_is_a_cubic_form(length, causal, seed):
    """Two gates around a linear map: three factors, each linear in the input."""
    mixer, x = drawn(length, causal=causal, input_length=length, seed=seed)
    torch.nn.init.zeros_(mixer.project.bias)
    torch.nn.init.zeros_(mixer.output.bias)
    torch.testing.assert_close(mixer(2 * x), 8 * mixer(x))
    torch.testing.assert_close(mixer(-x), -mixer(x))
