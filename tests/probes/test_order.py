"""Orders that are theorems, and what rounding and the limit leave open."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv
from globalconv.probes import interaction_order
from tests.probes.small_models import (
    LENGTH,
    Pointwise,
    Product,
    TokenModel,
    conv,
    quadratic_blocks,
    square,
    values,
)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_blocks_with_a_quadratic_nonlinearity_have_order_two_to_their_number(blocks, seed):
    """Differences of order 2^n + 1 vanish, those of order 2^n do not."""
    found = interaction_order(quadratic_blocks(blocks), values(seed))
    assert found.order == 2**blocks, found
    assert not found.at_least
    assert bool((found.sizes[found.order + 1 :] <= found.rounding[found.order + 1 :]).all())
    assert found.line.startswith(f"Exactly {2**blocks} tokens")
    assert found.number == str(2**blocks)


@pytest.mark.parametrize("backend", ["reference", "spectral", "fused_cpu"])
def test_one_convolution_has_order_one(backend, seed):
    found = interaction_order(conv(backend=backend), values(seed))
    assert (found.order, found.at_least) == (1, False)
    assert "no two tokens interact" in found.line


def test_powers_of_single_tokens_do_not_count(seed):
    found = interaction_order(nn.Sequential(square(), square(), conv()), values(seed))
    assert (found.order, found.at_least) == (1, False)


def test_what_depends_on_nothing_has_order_zero(seed):
    found = interaction_order(Pointwise(torch.ones_like), values(seed))
    assert (found.order, found.at_least) == (0, False)
    assert "no token" in found.line


@pytest.mark.parametrize("number", [2, 3, 5, 7])
def test_a_faint_product_of_some_tokens_is_seen(number, seed):
    found = interaction_order(Product(number, 1e-5), values(seed, length=9), limit=9)
    assert (found.order, found.at_least) == (number, False), found


def test_a_gated_convolution_joins_a_gate_and_a_gated_value(seed):
    """At the start its short filter is the identity: the output's query, and another token's key and value."""
    mixer = GatedConv(4, LENGTH, backend="reference")
    x = values(seed, width=4)
    assert (interaction_order(mixer, x).order, interaction_order(mixer, x).at_least) == (2, False)
    with torch.no_grad():
        mixer.short_filter.taps.normal_()
    assert interaction_order(mixer, x).order == 3


def test_attention_joins_more_than_anyone_looked_for(seed):
    x = values(seed, width=4)
    found = interaction_order(Attention(4, LENGTH, num_heads=2), 2 * x, limit=6)
    assert (found.order, found.at_least) == (6, True)
    assert "the limit" in found.line
    assert found.number == "6+"


def test_all_tokens_is_the_most_there_can_be(seed):
    found = interaction_order(quadratic_blocks(2), values(seed, length=3))
    assert (found.order, found.at_least, found.limit) == (3, False, 3)
    assert found.line == "All 3 tokens act jointly."


def test_what_rounding_hides_is_not_called_exact(seed):
    """A sum's exponential joins all tokens, but with small weights the higher orders drown."""
    for weight in (1e-2, 1e-3, 1e-4, 1e-5):
        faint = Pointwise(lambda x, w=weight: (w * x.sum(dim=1, keepdim=True)).exp().expand_as(x))
        found = interaction_order(faint, values(seed))
        assert 1 <= found.order < 10
        assert found.at_least, (weight, found)
        assert "hidden by rounding" in found.line


def test_relu_is_seen(seed):
    assert interaction_order(nn.Sequential(conv(), nn.ReLU()), values(seed), limit=6).order >= 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_less_precision_inside_is_found_and_believed_to_round_more(dtype, seed):
    torch.manual_seed(seed)
    inner = nn.Sequential(conv(), square())
    found = interaction_order(Pointwise(lambda x: inner(x.to(dtype)).double()), values(seed))
    assert str(dtype).removeprefix("torch.") in " ".join(found.notes)
    assert float(found.rounding[1]) > torch.finfo(dtype).eps
    assert found.order <= 2
    assert found.order == 2 or found.at_least


def test_tokens_have_an_order_through_their_embedding(seed):
    torch.manual_seed(seed)
    tokens = torch.randint(11, (3, LENGTH))
    assert interaction_order(TokenModel(quadratic_blocks(1)), tokens).order == 2
    assert interaction_order(TokenModel(conv()), tokens).order == 1


def test_the_same_seed_gives_the_same_sizes(seed):
    x, model = values(seed), quadratic_blocks(2)
    assert torch.equal(interaction_order(model, x, seed=3).sizes, interaction_order(model, x, seed=3).sizes)
    assert not torch.equal(
        interaction_order(model, x, seed=3).sizes, interaction_order(model, x, seed=4).sizes
    )


@pytest.mark.parametrize("limit", [0, 17])
def test_limits_that_cannot_be_are_refused(limit, seed):
    with pytest.raises(InputError, match="limit must be between 1 and 16"):
        interaction_order(conv(), values(seed), limit=limit)


def test_width_and_length_of_one(seed):
    found = interaction_order(nn.Linear(1, 1), values(seed, length=1, width=1))
    assert (found.order, found.at_least) == (1, False)


class Exploding(nn.Module):
    """exp of a power: finite at small inputs, and beyond all numbers at large ones."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return (self.scale * x.square().sum(dim=1, keepdim=True)).exp().expand_as(x)


def test_numbers_that_overflow_are_refused_and_not_read_as_no_interaction(seed):
    x = values(seed)
    with pytest.raises(InputError, match="with some tokens replaced"):
        interaction_order(Exploding(709 / float(x.square().sum(dim=1).max())), x)
