"""Linear attention's layer, plain and gated, against its equations, token by token."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from globalconv.errors import InputError
from globalconv.mixers import LinearAttention
from globalconv.states import begin
from tests.mixers.parity import assert_equals, convolved, drawn, linear

WIDTH, LENGTH = 6, 9


def heads_of(mixer: LinearAttention, x: Tensor) -> list[list[Tensor]]:
    """Queries, keys and values of each head, (length, head width) each."""
    mixed = convolved(mixer.short_filter(len(x)), x @ mixer.project.weight.T + _bias(mixer.project), "causal")
    parts = [part.chunk(mixer.num_heads, dim=1) for part in mixed.chunk(3, dim=1)]
    return [[part[head] for part in parts] for head in range(mixer.num_heads)]


def _bias(layer: torch.nn.Linear) -> Tensor | float:
    return 0.0 if layer.bias is None else layer.bias


def plain(mixer: LinearAttention, x: Tensor) -> Tensor:
    """arXiv 2006.16236, equation 5 with the feature map of equation 7; causal, equation 8: sums up to the token."""
    outputs = []
    for query, key, value in heads_of(mixer, x):
        query, key = F.elu(query) + 1, F.elu(key) + 1
        of_head = []
        for t in range(len(x)):
            seen = range(t + 1) if mixer.causal else range(len(x))
            weights = [query[t] @ key[s] for s in seen]
            of_head.append(sum(w * value[s] for w, s in zip(weights, seen, strict=True)) / sum(weights))
        outputs.append(torch.stack(of_head))
    return linear(mixer.output, torch.cat(outputs, dim=1))


def gated(mixer: LinearAttention, x: Tensor) -> Tensor:
    """arXiv 2312.06635, equation 3 and section 4.4; flash-linear-attention, fla/layers/gla.py."""
    outputs = []
    size = mixer.head_width
    rates = (
        linear(mixer.rate, x)
        if mixer.decay == "scalar"
        else linear(mixer.rate[1], x @ mixer.rate[0].weight.T)
    )
    rates = rates.chunk(mixer.num_heads, dim=1)
    for head, (query, key, value) in enumerate(heads_of(mixer, x)):
        state, of_head = x.new_zeros(size, size), []
        for t in range(len(x)):
            decay = torch.sigmoid(rates[head][t]) ** (1 / 16)
            state = decay[:, None] * state + torch.outer(key[t], value[t])
            y = query[t] @ state / size**0.5
            of_head.append(y / torch.sqrt(y.square().mean() + 1e-2) * mixer.gate.weight)
        outputs.append(torch.stack(of_head))
    gate = linear(mixer.gate_project, x)
    return (torch.cat(outputs, dim=1) * gate * torch.sigmoid(gate)) @ mixer.output.weight.T


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("short_taps", [0, 3])
def test_plain_is_the_formula(heads, short_taps, causal, seed):
    options = {"causal": causal, "num_heads": heads, "short_taps": short_taps}
    mixer = drawn(LinearAttention, WIDTH, LENGTH, seed=seed, **options)
    for length in (1, 5, LENGTH, 2 * LENGTH):
        assert_equals(mixer, plain, length)


@pytest.mark.parametrize("decay", ["scalar", "vector"])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("short_taps", [0, 3])
def test_gated_is_the_formula(heads, short_taps, decay, seed):
    options = {"causal": True, "num_heads": heads, "short_taps": short_taps, "decay": decay}
    mixer = drawn(LinearAttention, WIDTH, LENGTH, seed=seed, **options)
    for length in (1, 5, LENGTH, 2 * LENGTH):
        assert_equals(mixer, gated, length)


class SeesTheNextToken(LinearAttention):
    def read_all(self, x, mixed, real=None):
        return super().read_all(x, mixed.roll(-1, 1), real)


class FadesBySteps(LinearAttention):
    """By the decay of the token before."""

    def _gate_and_rate(self, x):
        gate, rate = super()._gate_and_rate(x)
        return gate, None if rate is None else rate.roll(1, 1)


@pytest.mark.parametrize("mutant", [SeesTheNextToken, FadesBySteps])
def test_a_wrong_layer_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, causal=True, num_heads=2, decay="vector")
    with pytest.raises(AssertionError):
        assert_equals(mixer, gated, LENGTH)


@pytest.mark.parametrize("decay", ["scalar", "vector"])
def test_decays_cannot_look_ahead(decay):
    with pytest.raises(InputError, match="causal=True"):
        LinearAttention(WIDTH, LENGTH, num_heads=1, decay=decay)


def test_an_unknown_decay_is_refused():
    with pytest.raises(InputError, match="vector"):
        LinearAttention(WIDTH, LENGTH, num_heads=1, decay="vectr")


@torch.no_grad()
def test_plain_and_not_causal_it_knows_no_order(seed):
    mixer = drawn(LinearAttention, WIDTH, LENGTH, seed=seed, num_heads=2)
    x, order = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64), torch.randperm(LENGTH)
    torch.testing.assert_close(mixer(x[:, order]), mixer(x)[:, order])


@torch.no_grad()
def test_features_that_all_vanish_give_no_nan():
    mixer = LinearAttention(WIDTH, LENGTH, num_heads=2)
    mixer.project.bias.fill_(-200.0)
    assert mixer(torch.zeros(1, LENGTH, WIDTH)).isfinite().all()


@pytest.mark.parametrize(
    ("decay", "causal"), [("none", False), ("none", True), ("scalar", True), ("vector", True)]
)
@pytest.mark.parametrize("length", [1, 7, 65])
def test_flops_are_those_of_its_products(decay, causal, length):
    mixer = LinearAttention(8, 12, causal=causal, num_heads=2, decay=decay)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        mixer(torch.randn(3, length, 8))
    assert counter.get_total_flops() == 3 * mixer.flops(length)


@pytest.mark.parametrize("decay", ["none", "scalar", "vector"])
def test_a_token_costs_the_same_whatever_came_before(decay):
    mixer = LinearAttention(8, LENGTH, causal=True, num_heads=2, decay=decay)
    few, many = (begin(mixer, batch=1, longest=longest) for longest in (2, 10_000))
    assert few.flops() == many.flops()
    assert few.numbers() == many.numbers()
