"""Attention: the formula, PyTorch's own layer, and what each kind of position makes of it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers import Attention
from globalconv.mixers.positions import rotary_turns, rotate, sinusoids
from tests.mixers.jacobians import token_jacobian

POSITIONS = ("rotary", "learned", "sinusoidal", "none")
lengths = st.integers(1, 17)
seeds = st.integers(0, 2**31 - 1)
heads = st.sampled_from([1, 2, 4])


def drawn(
    length: int, *, seed: int, causal: bool = False, num_heads: int = 2, positions="none", width: int = 8
):
    torch.manual_seed(seed)
    mixer = Attention(width, length, causal=causal, num_heads=num_heads, positions=positions).double()
    nn.init.normal_(mixer.project.bias)
    return mixer, torch.randn(2, length, width, dtype=torch.float64)


def turned(x: Tensor, t: int) -> Tensor:
    """A head's vector at position t: its pairs of channels as complex numbers, each times its own e^(i t w)."""
    half = x.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    pairs = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(rates), t * rates)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


def position_vectors(mixer: Attention, length: int) -> Tensor:
    if mixer.positions == "learned":
        return mixer.position[:length]
    table = torch.zeros(length, mixer.width, dtype=torch.float64)
    if mixer.positions == "sinusoidal":
        for t in range(length):
            for c in range(mixer.width):
                angle = t / 10000 ** ((c - c % 2) / mixer.width)
                table[t, c] = math.cos(angle) if c % 2 else math.sin(angle)
    return table


def by_hand(mixer: Attention, x: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V, head by head and row by row."""
    batch, length, width = x.shape
    weights, biases = mixer.project.weight.chunk(3), mixer.project.bias.chunk(3)
    placed = x + position_vectors(mixer, length)
    query, key, value = (
        source @ w.T + b for source, w, b in zip((placed, placed, x), weights, biases, strict=True)
    )
    mixed = torch.zeros_like(x)
    size = width // mixer.num_heads
    for head in range(mixer.num_heads):
        own = slice(head * size, (head + 1) * size)
        q, k = query[..., own], key[..., own]
        if mixer.positions == "rotary":
            q, k = (torch.stack([turned(v[:, t], t) for t in range(length)], dim=1) for v in (q, k))
        for row in range(batch):
            for t in range(length):
                seen = t + 1 if mixer.causal else length
                scores = k[row, :seen] @ q[row, t] / math.sqrt(size)
                mixed[row, t, own] = scores.softmax(0) @ value[row, :seen, own]
    return mixed @ mixer.output.weight.T + mixer.output.bias


@pytest.mark.parametrize("positions", POSITIONS)
@given(length=lengths, causal=st.booleans(), num_heads=heads, seed=seeds)
def test_is_the_formula(positions, length, causal, num_heads, seed):
    mixer, x = drawn(length, causal=causal, num_heads=num_heads, positions=positions, seed=seed)
    torch.testing.assert_close(mixer(x), by_hand(mixer, x))


@given(length=lengths, causal=st.booleans(), num_heads=heads, seed=seeds)
def test_is_pytorchs_own_without_positions(length, causal, num_heads, seed):
    mixer, x = drawn(length, causal=causal, num_heads=num_heads, seed=seed)
    theirs = nn.MultiheadAttention(8, num_heads, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(
        {
            "in_proj_weight": mixer.project.weight,
            "in_proj_bias": mixer.project.bias,
            "out_proj.weight": mixer.output.weight,
            "out_proj.bias": mixer.output.bias,
        }
    )
    mask = nn.Transformer.generate_square_subsequent_mask(length, dtype=torch.float64) if causal else None
    expected, _ = theirs(x, x, x, attn_mask=mask, need_weights=False)
    torch.testing.assert_close(mixer(x), expected)


@given(length=lengths, num_heads=heads, seed=seeds)
def test_without_positions_it_commutes_with_permutations(length, num_heads, seed):
    mixer, x = drawn(length, num_heads=num_heads, seed=seed)
    order = torch.randperm(length)
    torch.testing.assert_close(mixer(x[:, order]), mixer(x)[:, order])


@pytest.mark.parametrize("positions", ["rotary", "learned", "sinusoidal"])
def test_with_positions_it_does_not(positions, seed):
    mixer, x = drawn(9, positions=positions, seed=seed)
    moved, mixed = mixer(x.flip(1)), mixer(x).flip(1)
    assert (moved - mixed).norm() > 1e-2 * mixed.norm()


@given(t=st.integers(0, 40), u=st.integers(0, 40), shift=st.integers(0, 40), seed=seeds)
def test_rotary_scores_know_distances_only(t, u, shift, seed):
    """<R_t q, R_u k> = <R_{t+n} q, R_{u+n} k> = Re sum_i conj(k_i) q_i e^{i (t - u) w_i}."""
    torch.manual_seed(seed)
    q, k = torch.randn(2, 8, dtype=torch.float64)
    turns = rotary_turns(81, 8, like=q)

    def score(at_q: int, at_k: int) -> Tensor:
        return rotate(q[None], turns[:, at_q : at_q + 1])[0] @ rotate(k[None], turns[:, at_k : at_k + 1])[0]

    torch.testing.assert_close(score(t + shift, u + shift), score(t, u))
    torch.testing.assert_close(score(t, u), turned(q, t - u) @ k)
    torch.testing.assert_close(score(t, t), q @ k)


@given(length=st.integers(2, 9), shift=st.integers(1, 30), seed=seeds)
def test_rotary_output_does_not_change_when_all_tokens_move(length, shift, seed):
    mixer, x = drawn(length + shift, positions="rotary", seed=seed)
    turns = mixer.rotary.turns
    expected = mixer(x[:, :length])
    mixer.rotary.turns = turns[:, shift:]
    torch.testing.assert_close(mixer(x[:, :length]), expected)


@pytest.mark.parametrize("positions", POSITIONS)
def test_its_mixing_depends_on_the_content(positions, seed):
    mixer, x = drawn(6, positions=positions, seed=seed)
    first, second = token_jacobian(mixer, x[0]), token_jacobian(mixer, x[1])
    assert (first - second).norm() > 0.01 * first.norm()


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "none"])
def test_a_longer_input_is_treated_as_a_longer_layer_would(positions, seed):
    short, _ = drawn(5, positions=positions, seed=seed)
    long, x = drawn(11, positions=positions, seed=seed)
    short.load_state_dict(long.state_dict())
    torch.testing.assert_close(short(x), long(x))


def test_learned_positions_end():
    mixer, x = drawn(7, positions="learned", seed=0)
    mixer(x[:, :3])
    with pytest.raises(InputError, match="end at length 7, and there are 14 tokens"):
        mixer(torch.cat([x, x], dim=1))


@pytest.mark.parametrize("width", [7, 8])
def test_sinusoids_of_any_width(width):
    assert sinusoids(5, width).shape == (5, width)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_heads": 3}, r"heads that fit: \[1, 2, 4, 8\]"),
        ({"num_heads": 0}, r"heads that fit: \[1, 2, 4, 8\]"),
        ({"num_heads": 8}, "head width must be even"),
        ({"positions": "rotari"}, "Did you mean 'rotary'"),
    ],
)
def test_what_cannot_be_built_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        Attention(8, 4, **options)
