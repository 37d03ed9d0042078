"""MLP-Mixer's token mixing: a formula over positions, tied to its places."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.mixers import TokenMLP
from globalconv.ops import global_conv

seeds = st.integers(0, 2**31 - 1)


@given(length=st.integers(1, 17), part=st.integers(0, 16), hidden=st.integers(1, 9), seed=seeds)
def test_is_the_formula(length, part, hidden, seed):
    torch.manual_seed(seed)
    mixer = TokenMLP(3, length, hidden=hidden).double()
    x = torch.randn(2, length - part % length, 3, dtype=torch.float64)
    used = x.shape[1]
    inner = torch.einsum("hl,blc->bch", mixer.expand.weight[:, :used], x) + mixer.expand.bias
    inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
    outer = torch.einsum("lh,bch->blc", mixer.contract.weight[:used], inner)
    torch.testing.assert_close(mixer(x), outer + mixer.contract.bias[:used, None])


def test_every_channel_is_treated_alike(generator):
    mixer = TokenMLP(5, 8)
    x = torch.randn(2, 8, 5, generator=generator)
    order = torch.randperm(5, generator=generator)
    torch.testing.assert_close(mixer(x[..., order]), mixer(x)[..., order])


def test_is_tied_to_its_places(generator):
    mixer = TokenMLP(5, 8)
    x = torch.randn(2, 8, 5, generator=generator)
    moved, mixed = mixer(x.roll(1, 1)), mixer(x).roll(1, 1)
    assert (moved - mixed).norm() > 0.1 * mixed.norm()


def test_is_never_causal():
    with pytest.raises(InputError, match="cannot be causal"):
        TokenMLP(5, 8, causal=True)


def test_has_weights_for_its_length_only():
    with pytest.raises(InputError, match="weights for 8 positions, and the input has 9"):
        TokenMLP(5, 8)(torch.randn(1, 9, 5))


def test_is_twice_as_wide_as_long_by_default():
    assert TokenMLP(5, 8).hidden == 16


def test_it_is_full_field_depthwise_convolutions_at_one_place_each(generator):
    """arXiv 2105.01601, section 1: "depth-wise convolutions of a full receptive field and parameter sharing"."""
    mixer = TokenMLP(5, 8, hidden=6).double()
    x = torch.randn(2, 8, 5, generator=generator, dtype=torch.float64)

    def at_the_end(tokens, layer):
        units = [
            global_conv(tokens, weights.flip(0)[None], mode="causal")[:, -1] + bias
            for weights, bias in zip(layer.weight, layer.bias, strict=True)
        ]
        return torch.stack(units, dim=1)

    hidden = torch.nn.functional.gelu(at_the_end(x, mixer.expand))
    torch.testing.assert_close(at_the_end(hidden, mixer.contract), mixer(x))
