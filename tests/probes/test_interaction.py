"""Interaction maps against whole Hessians, and against what is known to be zero."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv
from globalconv.probes import interaction
from tests.probes.small_models import LENGTH, WIDTH, Pointwise, conv, square, values


def exact_map(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The norms of the blocks of all outputs' Hessians, from autograd's own."""
    model = model.double()
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        squares = sum(_squares(model, one) for one in x.double())
    return (squares / len(x)).sqrt()


def _squares(model: nn.Module, one: torch.Tensor) -> torch.Tensor:
    squares = torch.zeros(len(one), len(one), dtype=torch.float64)
    for number in range(model(one[None]).numel()):
        hessian = torch.autograd.functional.hessian(lambda v, n=number: model(v[None]).flatten()[n], one)
        squares += hessian.square().sum(dim=(1, 3))
    return squares


@pytest.mark.parametrize("name", ["conv, square", "attention", "gated"])
def test_it_estimates_the_blocks_of_the_hessian(name, seed):
    x = values(seed, batch=1, length=4)
    model = {
        "conv, square": nn.Sequential(conv(length=4), square()),
        "attention": Attention(WIDTH, 4, num_heads=1, positions="none"),
        "gated": GatedConv(WIDTH, 4, backend="reference"),
    }[name]
    expected = exact_map(model, x)
    found = interaction(model, x, samples=800)
    assert found.method == "derivatives"
    # A square's relative variance is at most 8, so an entry's error is about sqrt(8 / 800) / 2 = 5 %.
    torch.testing.assert_close(found.strength, expected, rtol=0.3, atol=1e-6 * float(expected.max()))
    total, known = found.between.square().sum().sqrt(), (expected - torch.diag(expected.diagonal())).norm()
    assert abs(total / known - 1) < 0.1
    assert 0 < found.uncertainty < 0.2


@pytest.mark.parametrize("backend", ["reference", "spectral", "fused_cpu"])
def test_one_convolution_has_no_interactions_at_all(backend, seed):
    found = interaction(conv(backend=backend), values(seed))
    assert not found.interacts
    assert found.largest == 0
    assert float(found.strength.max()) == 0
    assert "No two tokens" in found.line


@pytest.mark.parametrize("nonlinearity", [torch.square, torch.nn.functional.gelu, torch.tanh])
def test_the_nonlinearity_must_come_after_a_convolution(nonlinearity, seed):
    x = values(seed)
    before = interaction(nn.Sequential(Pointwise(nonlinearity), conv()), x)
    assert not before.interacts
    assert float(before.strength.diagonal().min()) > 0
    after = interaction(nn.Sequential(conv(), Pointwise(nonlinearity)), x)
    assert after.interacts
    assert (after.between > after.rounding).sum() == LENGTH * (LENGTH - 1)
    assert f"up to {LENGTH - 1} apart" in after.line


def test_only_the_pairs_that_meet_interact(seed):
    class Neighbours(nn.Module):
        def forward(self, x):
            return x * x.roll(1, dims=1)

    found = interaction(Neighbours(), values(seed, length=6))
    apart = (torch.arange(6)[:, None] - torch.arange(6)).abs()
    assert torch.equal(found.between > found.rounding, (apart == 1) | (apart == 5))


@pytest.mark.parametrize("relu", [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(), Pointwise(torch.abs)])
def test_what_is_not_smooth_is_found_by_differences_and_said(relu, seed):
    x = values(seed)
    found = interaction(nn.Sequential(conv(), relu), x)
    assert found.method == "differences"
    assert "not smooth" in found.reason
    assert found.interacts
    assert "finite differences" in found.line
    assert "not smooth" in found.line
    assert not interaction(nn.Sequential(conv(), relu), x, method="derivatives").interacts
    assert not interaction(nn.Sequential(relu, conv()), x).interacts


def test_differences_agree_with_the_closed_form(seed):
    """For a product of two tokens the difference is that of the steps, whatever the rest."""
    x = values(seed, length=5)

    class Product(nn.Module):
        def forward(self, x):
            return x + (x[:, 1] * x[:, 3])[:, None]

    found = interaction(Product(), x, method="differences")
    pairs = torch.zeros(5, 5, dtype=torch.bool)
    pairs[1, 3] = pairs[3, 1] = True
    assert torch.equal(found.between > found.rounding, pairs)
    assert torch.equal(found.strength, found.strength.T)


def test_a_layer_without_a_second_derivative_is_looked_at_by_differences(seed):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sum(dim=1, keepdim=True).square().expand_as(x)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (2 * x.sum(dim=1, keepdim=True) * g.sum(dim=1, keepdim=True)).expand_as(x)

    found = interaction(Pointwise(Once.apply), values(seed))
    assert found.method == "differences"
    assert found.reason
    assert found.interacts
    assert (
        "but finite differences do not"
        in interaction(Pointwise(Once.apply), values(seed), method="derivatives").line
    )


def test_operations_without_a_second_derivative_are_looked_at_by_differences(seed):
    class Fused(nn.Module):
        def forward(self, x):
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*[x[:, None]] * 3)[0][:, 0]

    x = values(seed, width=8)
    found = interaction(Fused(), x)
    assert found.method == "differences"
    assert "no second derivative" in found.line
    assert found.interacts
    with pytest.raises(InputError, match="no second derivatives"):
        interaction(Fused(), x, method="derivatives")


def test_a_backward_pass_that_hides_what_it_depends_on_is_caught(seed):
    """Its second derivatives are zero as far as autograd can see."""

    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.total = x.sum(dim=1, keepdim=True).detach()
            return ctx.total.square().expand_as(x).clone()

        @staticmethod
        def backward(ctx, g):
            return (2 * ctx.total * g.sum(dim=1, keepdim=True)).expand_as(g)

    found = interaction(Pointwise(Hidden.apply), values(seed))
    assert found.method == "differences"
    assert "but finite differences do not" in found.line
    assert found.interacts


def test_cancelled_rounding_is_no_interaction(seed):
    """The same product added and taken away leaves 1e-17, which must not pass for a pattern."""

    class Cancels(nn.Module):
        def forward(self, x):
            mean = x.mean(dim=1, keepdim=True)
            return x + 0.1 * mean * mean * 3 - 0.3 * mean.square()

    found = interaction(Cancels(), values(seed))
    assert not found.interacts


def test_unknown_methods_are_refused(seed):
    with pytest.raises(InputError, match="Did you mean 'derivatives'"):
        interaction(conv(), values(seed), method="derivative")
