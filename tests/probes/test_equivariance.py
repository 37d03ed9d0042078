"""Who commutes with shifts and permutations, by theorem."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, TokenMLP
from globalconv.models import Classifier, Stack
from globalconv.probes import equivariance
from tests.probes.small_models import LENGTH, WIDTH, conv, square, values


@pytest.mark.parametrize("backend", ["reference", "spectral"])
def test_circular_convolutions_commute_with_shifts_and_not_with_permutations(backend, seed):
    x = values(seed)
    for model in (
        conv(backend=backend),
        GatedConv(WIDTH, LENGTH, backend=backend),
        nn.Sequential(conv(), square()),
    ):
        assert equivariance(model, x, "shift").equivariant
        assert not equivariance(model, x, "permutation").equivariant


def test_causal_convolutions_and_token_mixing_perceptrons_do_not(seed):
    x = values(seed)
    for model in (conv(causal=True), TokenMLP(WIDTH, LENGTH)):
        found = equivariance(model, x, "shift")
        assert not found.equivariant
        assert found.error > 0.05


def test_attention_without_positions_commutes_with_permutations(seed):
    x = values(seed, width=4)
    assert equivariance(Attention(4, LENGTH, num_heads=2, positions="none"), x, "permutation").equivariant
    for positions in ("rotary", "learned", "sinusoidal"):
        assert not equivariance(
            Attention(4, LENGTH, num_heads=2, positions=positions), x, "permutation"
        ).equivariant


def test_a_pooled_circular_stack_is_invariant_under_shifts(seed):
    x = values(seed)
    model = Classifier(3, [conv(), conv()], mlp_width=4, channels=WIDTH, positions=False)
    found = equivariance(model, x, "shift")
    assert found.invariant
    assert found.equivariant
    assert "Invariant under" in found.line
    placed = Classifier(3, [conv(), conv()], mlp_width=4, channels=WIDTH)
    assert not equivariance(placed, x, "shift").equivariant


@pytest.mark.parametrize("size", [1e-3, 1e-8])
def test_a_faint_position_is_caught(size, seed):
    class Marked(nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = Stack([conv()], mlp_width=4)

        def forward(self, x):
            y = self.stack(x)
            return y + size * torch.eye(LENGTH, 1, dtype=y.dtype)

    found = equivariance(Marked(), values(seed), "shift")
    assert not found.equivariant
    assert found.error < 10 * size


def test_every_shift_of_a_short_sequence_is_tried_once(seed):
    assert len(equivariance(conv(length=4), values(seed, length=4), "shift").errors) == 3


def test_what_cannot_be_moved_is_refused(seed):
    with pytest.raises(InputError, match="at least 2"):
        equivariance(conv(length=1), values(seed, length=1), "shift")
    with pytest.raises(InputError, match="Did you mean 'shift'"):
        equivariance(conv(), values(seed), "shifts")
