"""Receptive fields that can be counted."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.models import Classifier, Stack
from globalconv.probes import reach
from globalconv.probes.reach import Span, find_layers
from tests.probes.small_models import LENGTH, WIDTH, conv, values


class Shift(nn.Module):
    """Looks ``back`` and ``ahead`` tokens far, with zeros beyond the ends."""

    def __init__(self, back: int, ahead: int) -> None:
        super().__init__()
        self.back, self.ahead = back, ahead

    def forward(self, x):
        padded = nn.functional.pad(x, (0, 0, self.back, self.ahead))
        return x + padded[:, : x.shape[1]] + padded[:, self.back + self.ahead :]


def test_reaches_add_up_over_layers(seed):
    found = reach(nn.Sequential(Shift(1, 0), Shift(2, 1), Shift(1, 3)), values(seed))
    assert [(layer.own.back, layer.own.ahead) for layer in found.layers] == [(1, 0), (2, 1), (1, 3)]
    assert [(layer.so_far.back, layer.so_far.ahead) for layer in found.layers] == [(1, 0), (3, 1), (4, 4)]
    assert "4 tokens back and 4 ahead" in found.line


def test_every_token_sees_every_token_after_one_layer_of_a_global_convolution(seed):
    x = values(seed)
    found = reach(Stack([conv(), conv()], mlp_width=4), x)
    assert [layer.name for layer in found.layers] == ["blocks.0", "blocks.1"]
    assert all(layer.own.back == layer.own.ahead == LENGTH - 1 for layer in found.layers)
    assert "from layer 1 of 2 on" in found.line
    causal = reach(conv(causal=True), x)
    assert [layer.name for layer in causal.layers] == ["the model"]
    assert (causal.layers[0].so_far.back, causal.layers[0].so_far.ahead) == (LENGTH - 1, 0)


def test_the_typical_distance_is_the_weighted_mean(seed):
    x = values(seed)

    class Lag(nn.Module):
        def forward(self, x):
            return x.roll(3, dims=1)[:, :] * torch.tensor([0.0] * 3 + [1.0] * (LENGTH - 3))[:, None]

    assert reach(Lag(), x).layers[0].own == Span(3, 0, pytest.approx(3.0))


def test_a_classifier_is_looked_at_by_its_layers(seed):
    x = values(seed)
    model = Classifier(2, [conv(), conv()], mlp_width=4, channels=WIDTH)
    assert find_layers(model) == ["stack.blocks.0", "stack.blocks.1"]
    assert len(reach(model, x).layers) == 2
    with pytest.raises(InputError, match="one per sequence"):
        reach(model, x, layers=[""])


def test_named_layers_and_wrong_names(seed):
    x, model = values(seed), Stack([conv(), conv()], mlp_width=4)
    assert [layer.name for layer in reach(model, x, layers=["blocks.1.mixer"]).layers] == ["blocks.1.mixer"]
    with pytest.raises(InputError, match=r"Did you mean 'blocks\.0'"):
        reach(model, x, layers=["block.0"])
