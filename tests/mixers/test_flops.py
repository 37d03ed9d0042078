"""The flops that mixers and models say they need, against PyTorch's own counter where it can count."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from globalconv.mixers import Attention, GatedConv, GlobalConv, TokenMLP
from globalconv.models import Classifier, LanguageModel, Stack
from globalconv.models.block import ChannelMLP


def counted(module: nn.Module, *shape: int, tokens: int | None = None) -> int:
    """Flops of the matrix products in one forward pass, as PyTorch counts them."""
    x = torch.randn(shape) if tokens is None else torch.randint(tokens, shape)
    # The counter does not know the fused attention on a CPU: spell it out in matrix products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return counter.get_total_flops()


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal", "none"])
@pytest.mark.parametrize("length", [1, 7, 12])
def test_attention(positions, length):
    mixer = Attention(8, 12, positions=positions, num_heads=2)
    assert mixer.flops(length) == counted(mixer, 1, length, 8)
    assert mixer.flops(length) == counted(mixer, 3, length, 8) / 3


def test_causal_attention_computes_half_of_the_pairs_and_the_diagonal():
    causal, whole = Attention(8, 12, causal=True), Attention(8, 12)
    projections = 8 * 12 * 8 * 8
    pairs = (whole.flops(12) - projections) / (12 * 12)
    assert causal.flops(12) - projections == pairs * (12 * 13) / 2


@pytest.mark.parametrize("hidden", [None, 5])
def test_token_mlp(hidden):
    mixer = TokenMLP(8, 12, hidden=hidden)
    assert mixer.flops(12) == counted(mixer, 1, 12, 8)
    assert mixer.flops(7) == counted(mixer, 1, 7, 8)


def test_gated_conv_counts_its_projections():
    mixer = GatedConv(8, 12)
    convolutions = mixer.flops(12) - counted(mixer, 1, 12, 8)
    without_gates = GlobalConv(8, 12).flops(12) - 2 * 12 * 8
    short = 2 * 12 * 3 * 3 * 8
    assert convolutions == without_gates + short + 4 * 12 * 8


def test_channel_mlp():
    stack = Stack([GlobalConv(8, 12)], mlp_width=20)
    mlp = stack.flops(12) - GlobalConv(8, 12).flops(12)
    assert mlp == counted(ChannelMLP(8, 20), 1, 12, 8)


def test_classifier_of_values():
    model = Classifier(3, [Attention(8, 12), TokenMLP(8, 12)], mlp_width=20, channels=2)
    assert model.flops(12) == counted(model, 1, 12, 2)


def test_classifier_of_tokens():
    model = Classifier(3, [Attention(8, 12), TokenMLP(8, 12)], mlp_width=20, vocabulary=5)
    assert model.flops(12) == counted(model, 1, 12, tokens=5)


def test_language_model():
    """PyTorch counts a causal attention as a full one."""
    model = LanguageModel(5, [Attention(8, 12, causal=True)] * 2, mlp_width=20)
    hidden_pairs = 12 * 12 - 12 * 13 / 2
    assert model.flops(12) + 2 * 4 * hidden_pairs * 8 == counted(model, 1, 12, tokens=5)
