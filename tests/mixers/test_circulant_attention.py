"""Circulant attention against its matrix, and its flops."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from globalconv.errors import InputError
from globalconv.measure.counting import FORMULAS
from globalconv.mixers import CirculantAttention, circulant_attention
from tests.mixers.parity import assert_equals, drawn, linear

WIDTH, LENGTH = 6, 9
rolled = circulant_attention._rolled


def reference(mixer: CirculantAttention, x: Tensor) -> Tensor:
    """arXiv 2504.06704: Roll(softmax(x W_A)) x W_V for each head, the matrix row by row."""
    values, scores = (x @ mixer.project.weight.T).split([mixer.width, mixer.num_heads], dim=1)
    heads = []
    for head, value in enumerate(values.chunk(mixer.num_heads, dim=1)):
        weights = scores[:, head].exp() / scores[:, head].exp().sum()
        roll = torch.stack([weights.roll(t) for t in range(len(x))])
        heads.append(roll @ value)
    return linear(mixer.output, torch.cat(heads, dim=1))


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_is_the_formula(heads, seed):
    mixer = drawn(CirculantAttention, WIDTH, LENGTH, seed=seed, num_heads=heads)
    for length in (1, 2, 5, 8, LENGTH, 2 * LENGTH):
        assert_equals(mixer, reference, length)


def rolls_back(weights: Tensor, value: Tensor, lengths: Tensor | None) -> Tensor:
    """The transposed matrix: a convolution."""
    return rolled(weights.flip(1).roll(1, 1), value, lengths)


def off_by_one(weights: Tensor, value: Tensor, lengths: Tensor | None) -> Tensor:
    return rolled(weights.roll(1, 1), value, lengths)


@pytest.mark.parametrize("mutant", [rolls_back, off_by_one])
def test_another_matrix_is_noticed(mutant, monkeypatch, seed):
    monkeypatch.setattr(circulant_attention, "_rolled", mutant)
    mixer = drawn(CirculantAttention, WIDTH, LENGTH, seed=seed, num_heads=2)
    with pytest.raises(AssertionError):
        assert_equals(mixer, reference, LENGTH)


@torch.no_grad()
def test_a_rotation_of_all_tokens_changes_nothing(seed):
    mixer = drawn(CirculantAttention, WIDTH, LENGTH, seed=seed, num_heads=2)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(mixer(x.roll(4, 1)), mixer(x))


@torch.no_grad()
def test_large_scores_stay_finite(seed):
    mixer = CirculantAttention(WIDTH, LENGTH, num_heads=2)
    assert mixer(1e4 * torch.randn(1, LENGTH, WIDTH)).isfinite().all()


def test_it_cannot_be_causal():
    with pytest.raises(InputError, match="cannot be causal"):
        CirculantAttention(WIDTH, LENGTH, causal=True)


@pytest.mark.parametrize("length", [1, 7, 16])
def test_flops_are_those_of_its_products(length):
    """Of matrices and spectra, and of the transforms."""
    aten = torch.ops.aten
    known = {operation: FORMULAS[operation] for operation in (aten._fft_r2c, aten._fft_c2r, aten.mul)}
    mixer = CirculantAttention(8, 16, num_heads=2)
    with FlopCounterMode(display=False, custom_mapping=known) as counter, torch.no_grad():
        mixer(torch.randn(3, length, 8))
    assert counter.get_total_flops() == pytest.approx(3 * mixer.flops(length))
