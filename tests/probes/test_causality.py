"""Causal to the last digit, up to rounding, or not."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Attention, GatedConv, TokenMLP
from globalconv.models import Classifier, LanguageModel
from globalconv.probes import causality
from tests.mixers.builds import EITHER
from tests.probes.small_models import LENGTH, WIDTH, Leaky, conv, values


def test_the_direct_sum_is_causal_to_the_last_digit(seed):
    found = causality(conv(causal=True), values(seed))
    assert found.exact
    assert found.causal
    assert found.largest == 0
    assert "to the last digit" in found.line


def test_the_transform_is_causal_up_to_rounding(seed):
    found = causality(conv(causal=True, backend="spectral"), values(seed))
    assert found.causal
    assert not found.exact
    assert found.largest < 1e-14
    assert "up to rounding" in found.line


@pytest.mark.parametrize("name", sorted({*EITHER} - {"none"}))
def test_causal_mixers_are_and_the_others_are_not(name, seed):
    x = values(seed, width=8)
    assert causality(MIXERS[name](8, LENGTH, causal=True), x).causal
    assert not causality(MIXERS[name](8, LENGTH), x).causal


def test_token_mixing_perceptrons_are_not_causal(seed):
    assert not causality(TokenMLP(WIDTH, LENGTH), values(seed)).causal


@pytest.mark.parametrize("leak", [1.0, 1e-4, 1e-9])
def test_a_small_leak_between_two_tokens_is_caught(leak, seed):
    x = values(seed)
    found = causality(Leaky(leak, late=8, early=5), x)
    assert not found.causal
    assert torch.equal(
        found.leak > found.rounding, (torch.arange(LENGTH - 1) >= 5) & (torch.arange(LENGTH - 1) < 8)
    )
    assert f"{int(found.leak.argmax())}" in found.line


def test_a_leak_without_a_derivative_is_caught(seed):
    """The sign of the last token has no derivative, and moves every output."""

    class Sign(nn.Module):
        def forward(self, x):
            return x + x[:, -1:].sign()

    assert not causality(Sign(), values(seed)).causal


def test_a_whole_language_model(seed):
    torch.manual_seed(seed)
    tokens = torch.randint(7, (2, LENGTH))
    mixers = [Attention(8, LENGTH, causal=True), GatedConv(8, LENGTH, causal=True, backend="reference")]
    found = causality(LanguageModel(7, mixers, mlp_width=8), tokens)
    assert found.exact


def test_one_token_has_no_future(seed):
    assert causality(conv(length=1), values(seed, length=1)).exact


def test_one_output_per_sequence_is_refused(seed):
    model = Classifier(2, [conv()], mlp_width=4, channels=WIDTH)
    with pytest.raises(InputError, match="one per sequence"):
        causality(model, values(seed))
