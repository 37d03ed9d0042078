"""The token Jacobian against autograd's whole one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv
from globalconv.probes import token_jacobian
from tests.probes.small_models import LENGTH, WIDTH, conv, square, values


def whole(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(examples, L, E, L, D)."""
    model = model.double()
    return torch.stack(
        [torch.autograd.functional.jacobian(lambda v: model(v[None])[0], one.double()) for one in x]
    )


@pytest.mark.parametrize("model", ["conv", "conv, square", "attention"])
def test_it_is_the_norm_of_the_blocks_of_the_jacobian(model, seed):
    x = values(seed)
    built = {
        "conv": conv(),
        "conv, square": nn.Sequential(conv(), square()),
        "attention": Attention(WIDTH, LENGTH, num_heads=1, positions="none"),
    }
    found = token_jacobian(built[model], x)
    expected = whole(built[model], x).square().sum(dim=(2, 4)).mean(dim=0).sqrt()
    torch.testing.assert_close(found.strength, expected, rtol=1e-10, atol=1e-14)
    assert found.exact
    assert found.relative_error == 0


@given(batch=st.integers(1, 3), length=st.integers(1, 6), width=st.integers(1, 4), causal=st.booleans())
def test_any_shape(batch, length, width, causal):
    torch.manual_seed(0)
    mixer = GatedConv(width, length, causal=causal, backend="reference")
    x = torch.randn(batch, length, width)
    expected = whole(mixer, x).square().sum(dim=(2, 4)).mean(dim=0).sqrt()
    torch.testing.assert_close(token_jacobian(mixer.float(), x).strength, expected, rtol=1e-8, atol=1e-12)


def test_random_directions_estimate_it_within_the_stated_error(seed):
    torch.manual_seed(seed)
    model, x = (
        nn.Sequential(nn.Linear(32, 32), nn.GELU(), Attention(32, 8, num_heads=4)),
        torch.randn(1, 8, 32),
    )
    exact = token_jacobian(model, x).strength
    errors = []
    for draw in range(60):
        found = token_jacobian(model, x, directions=4, seed=draw)
        assert not found.exact
        errors.append(found.strength / exact - 1)
    spread = torch.stack(errors).square().mean().sqrt()
    assert 0 < spread < 1.3 * found.relative_error  # a bound to first order
    squares = (1 + torch.stack(errors)).square().mean()
    assert (
        abs(float(squares) - 1) < 4 * (2 * found.relative_error) / 60**0.5
    )  # all pairs of a draw share its frame


def test_all_directions_are_exact_and_more_are_too(seed):
    x, model = values(seed), conv()
    assert torch.equal(token_jacobian(model, x, directions=99).strength, token_jacobian(model, x).strength)


def test_what_is_zero_stays_zero_in_random_directions(seed):
    x = values(seed)
    found = token_jacobian(conv(causal=True), x, directions=1)
    assert torch.equal(found.support, torch.ones(LENGTH, LENGTH).tril().bool())
    assert float(found.strength.triu(1).abs().max()) == 0


def test_no_channel_of_a_depthwise_stack_sees_another(seed):
    """Law 3 of depth: without a pointwise layer the cross-channel Jacobian is exactly zero."""
    x = values(seed)
    jacobian = whole(nn.Sequential(conv(), square(), conv()), x)
    across = jacobian.abs().amax(dim=(0, 1, 3))
    assert torch.count_nonzero(across - torch.diag(across.diagonal())) == 0
    assert (across.diagonal() > 0).all()

    class OneChannel(nn.Module):
        """The stack's first output channel as a function of its other input channels."""

        def __init__(self, stack, x):
            super().__init__()
            self.stack, self.x = stack, x

        def forward(self, others):
            own = self.x[:1, :, :1].to(others).expand(len(others), -1, -1)
            return self.stack(torch.cat([own, others], dim=2))[:, :, :1]

    mixed = nn.Sequential(conv(), nn.Linear(WIDTH, WIDTH), square(), conv())
    for stack, sees in ((nn.Sequential(conv(), square(), conv()), False), (mixed, True)):
        strength = token_jacobian(OneChannel(stack, x), x[:1, :, 1:]).strength
        assert bool(strength.any()) is sees


def test_it_does_not_depend_on_the_memory_that_it_may_use(seed):
    x, model = values(seed), nn.Sequential(conv(), square())
    heard = []
    few = token_jacobian(model, x, memory=1e5, progress=lambda done, rows: heard.append((done, rows)))
    torch.testing.assert_close(few.strength, token_jacobian(model, x).strength, rtol=1e-12, atol=0)
    assert len(heard) > 2
    assert heard[-1] == (3 * LENGTH * WIDTH, 3 * LENGTH * WIDTH)


def test_an_output_that_depends_on_nothing_is_all_zeros(seed):
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones_like(x)

    found = token_jacobian(Constant(), values(seed))
    assert not found.strength.any()
    assert not found.support.any()
    assert "0%" in found.line


def test_no_directions_are_refused(seed):
    with pytest.raises(InputError, match="directions must be at least 1"):
        token_jacobian(conv(), values(seed), directions=0)
