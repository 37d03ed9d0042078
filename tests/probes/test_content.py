"""The variance of the Jacobian over inputs, against Jacobians in full."""

import pytest
import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, TokenMLP
from globalconv.models import Stack
from globalconv.probes import content_dependence
from tests.probes.small_models import LENGTH, WIDTH, TokenModel, conv, square, values


@pytest.mark.parametrize("name", ["attention", "gated", "square"])
def test_it_estimates_the_variance_of_the_jacobian(name, seed):
    x = values(seed, batch=4, length=5)
    model = {
        "attention": Attention(WIDTH, 5, num_heads=1, positions="none"),
        "gated": GatedConv(WIDTH, 5, backend="reference"),
        "square": nn.Sequential(conv(length=5), square()),
    }[name].double()
    jacobians = torch.stack(
        [torch.autograd.functional.jacobian(lambda v: model(v[None])[0], one.double()) for one in x]
    )
    variance, mean_square = jacobians.var(dim=0).sum(), jacobians.square().sum(dim=(1, 2, 3, 4)).mean()
    found = content_dependence(model.float(), x, directions=600)
    assert found.share == pytest.approx(min(float(variance / mean_square), 1.0), rel=0.1)
    assert found.depends


@pytest.mark.parametrize("backend", ["reference", "spectral"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_convolution_is_content_independent(backend, causal, seed):
    found = content_dependence(conv(causal=causal, backend=backend), values(seed))
    assert not found.depends
    assert found.share < 1e-28
    assert "Content-independent" in found.line


@pytest.mark.parametrize("mixer", [Attention, GatedConv, TokenMLP])
def test_the_other_mixers_depend_on_the_content(mixer, seed):
    found = content_dependence(mixer(8, LENGTH), values(seed, width=8))
    assert found.depends
    assert found.share > 1e-4
    assert found.per_token.shape == (LENGTH,)


def test_a_block_depends_on_content_though_its_mixing_does_not(seed):
    x = values(seed)
    stack = Stack([conv(), conv()], mlp_width=8)
    assert content_dependence(stack, x).depends
    assert not content_dependence(stack, x, at="blocks.1.mixer").depends
    assert content_dependence(stack, x, at="blocks.1.mlp").depends


def test_only_tokens_that_meet_others_depend_on_them(seed):
    class Pair(nn.Module):
        def forward(self, x):
            return torch.cat([x[:, :2].prod(dim=1, keepdim=True), x[:, 1:]], dim=1)

    found = content_dependence(Pair(), values(seed, length=5))
    assert bool((found.per_token[:2] > 1e-3).all())
    assert bool((found.per_token[2:] < 1e-28).all())  # rounding, squared


def test_the_jackknife_covers_what_more_inputs_say(seed):
    """Standard errors, so in 12 draws of 6 inputs hardly ever 4 of them away from what 60 inputs say."""
    x, model = values(seed, batch=132), GatedConv(WIDTH, LENGTH, backend="spectral")
    truth = content_dependence(model, x[:60]).share
    for draw in range(12):
        found = content_dependence(model, x[60 + 6 * draw :][:6])
        assert abs(found.share - truth) < 5 * found.uncertainty + 0.05, (found, truth)


def test_tokens(seed):
    torch.manual_seed(seed)
    tokens = torch.randint(11, (3, LENGTH))
    assert not content_dependence(TokenModel(conv()), tokens).depends
    assert content_dependence(TokenModel(nn.Sequential(conv(), square())), tokens).depends


def test_a_single_input_is_refused(seed):
    with pytest.raises(InputError, match="give 2 or more, not 1"):
        content_dependence(conv(), values(seed, batch=1))
