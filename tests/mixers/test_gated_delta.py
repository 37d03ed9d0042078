"""The gated delta rule's layer against its equations, token by token, and against another implementation."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers import GatedDelta
from globalconv.states import begin
from tests.mixers.parity import assert_equals, convolved, drawn

WIDTH, LENGTH = 6, 9


def reference(mixer: GatedDelta, x: Tensor) -> Tensor:
    """arXiv 2412.06464, equation 10 and figure 1; flash-linear-attention, fla/layers/gated_deltanet.py."""
    width, heads = mixer.width, mixer.num_heads
    q_k_v, gate, rate, strength = (x @ mixer.project.weight.T).split([3 * width, width, heads, heads], dim=1)
    q_k_v = convolved(mixer.short_filter(len(x)), q_k_v, "causal")
    q_k_v = q_k_v * torch.sigmoid(q_k_v)
    outputs = []
    for head in range(heads):
        size = width // heads
        own = slice(head * size, (head + 1) * size)
        query, key, value = (part[:, own] for part in q_k_v.chunk(3, dim=1))
        state, of_head = x.new_zeros(size, size), []
        for t in range(len(x)):
            q = query[t] / torch.sqrt(query[t] @ query[t] + 1e-6) / size**0.5
            k = key[t] / torch.sqrt(key[t] @ key[t] + 1e-6)
            step = torch.log(1 + torch.exp(rate[t, head] + mixer.step_bias[head]))
            a, b = torch.exp(-torch.exp(mixer.log_rate[head]) * step), torch.sigmoid(strength[t, head])
            state = a * state @ (torch.eye(size, dtype=x.dtype) - b * torch.outer(k, k)) + b * torch.outer(
                value[t], k
            )
            y = state @ q
            of_head.append(y / torch.sqrt(y.square().mean() + 1e-2) * mixer.gate.weight)
        outputs.append(torch.stack(of_head))
    return (torch.cat(outputs, dim=1) * gate * torch.sigmoid(gate)) @ mixer.output.weight.T


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("short_taps", [0, 1, 3])
def test_is_the_formula(heads, short_taps, seed):
    mixer = drawn(GatedDelta, WIDTH, LENGTH, seed=seed, causal=True, num_heads=heads, short_taps=short_taps)
    for length in (1, 5, LENGTH, 2 * LENGTH):
        assert_equals(mixer, reference, length)


class LeaksTheNextToken(GatedDelta):
    def read_all(self, mixed, others):
        return super().read_all(mixed.roll(-1, 1), others)


class GatesWithTheNeighbour(GatedDelta):
    def read_all(self, mixed, others):
        return super().read_all(mixed, others.roll(1, 1))


@pytest.mark.parametrize("mutant", [LeaksTheNextToken, GatesWithTheNeighbour])
def test_a_wrong_layer_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, causal=True, num_heads=2)
    with pytest.raises(AssertionError):
        assert_equals(mixer, reference, LENGTH)


def test_is_that_of_transformers(seed):
    """Qwen3-Next's layer, whose weights lie side by side in another order."""
    theirs = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    config = theirs.Qwen3NextConfig(
        hidden_size=WIDTH, linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=3,
        linear_value_head_dim=3, linear_conv_kernel_dim=3, rms_norm_eps=1e-2, num_hidden_layers=1,
        layer_types=["linear_attention"],
    )  # fmt: skip
    layer = theirs.Qwen3NextGatedDeltaNet(config, layer_idx=0)
    own = drawn(GatedDelta, WIDTH, LENGTH, seed=seed, causal=True, num_heads=2).float()
    parts = own.project.weight.split([WIDTH, WIDTH, WIDTH, WIDTH, 2, 2])
    query, key, value, gate = (part.unflatten(0, (2, 3)) for part in parts[:4])
    rate, strength = (part.unflatten(0, (2, 1)) for part in parts[4:])
    state = {
        "in_proj_qkvz.weight": torch.cat([query, key, value, gate], dim=1).flatten(0, 1),
        "in_proj_ba.weight": torch.cat([strength, rate], dim=1).flatten(0, 1),
        "conv1d.weight": own.short_filter.taps.flip(1).unsqueeze(1),
        "dt_bias": own.step_bias,
        "A_log": own.log_rate,
        "norm.weight": own.gate.weight,
        "out_proj.weight": own.output.weight,
    }
    layer.load_state_dict({name: value.detach() for name, value in state.items()})
    x = torch.randn(2, 70, WIDTH)
    torch.testing.assert_close(own(x), layer(x), rtol=1e-4, atol=1e-4)


def test_it_cannot_look_ahead():
    with pytest.raises(InputError, match="causal=True"):
        GatedDelta(WIDTH, LENGTH)


def test_white_noise_keeps_its_size(seed):
    torch.manual_seed(seed)
    mixer = GatedDelta(64, 128, causal=True)
    assert 0.3 < float(mixer(torch.randn(8, 128, 64)).detach().std()) < 1.5


@torch.no_grad()
def test_a_token_costs_the_same_whatever_came_before():
    mixer = GatedDelta(8, LENGTH, causal=True, num_heads=2)
    few, many = (begin(mixer, batch=1, longest=longest) for longest in (2, 10_000))
    assert few.flops() == many.flops()
    assert few.numbers() == many.numbers()


@pytest.mark.parametrize("short_taps", [0, 3])
def test_autocast_computes_the_rule_in_single_precision(short_taps, seed):
    """Over many tokens: what is rounded is read, never remembered."""
    torch.manual_seed(seed)
    mixer = GatedDelta(32, 512, causal=True, short_taps=short_taps)
    x = torch.randn(2, 512, 32)
    expected = mixer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, others = mixer.projected(x)
        assert mixed.dtype == torch.bfloat16
        _, memory = mixer.read_all(mixed, others)
        y = mixer(x)
    assert memory.dtype == torch.float32
    assert y.dtype == torch.bfloat16
    assert float((y - expected).detach().norm() / expected.detach().norm()) < 0.03
    assert F.cosine_similarity(y[:, -1].float(), expected[:, -1]).min() > 0.99
