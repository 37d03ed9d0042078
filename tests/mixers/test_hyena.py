"""Hyena's operator against its equation, at every order; what sets it apart from GatedConv; its mutants."""

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.mixers import GatedConv, Hyena, build_mixer
from globalconv.mixers.catalogue import mixer_options
from globalconv.ops.interface import MODES
from tests.mixers.parity import assert_equals, convolved, drawn, linear, one_sided

WIDTH, LENGTH = 3, 7


def hyena(mixer: Hyena, x: Tensor) -> Tensor:
    """arXiv 2302.10866, equation 4: z[n+1] = x[n] . (h[n] * z[n]), z[1] = v and y = z[N+1].

    h[1] is the identity, as in HazyResearch/safari, src/models/sequence/hyena.py (``reversed(x[1:])``); their skip
    weight ("bias") belongs to h[n]. There the projections are in the order x[N], ..., x[1], v.
    """
    short = mixer.short_filter(len(x)).to(x)
    projected = linear(mixer.project, x)
    if short.shape[1] > 1 or len(x) == 1:
        projected = convolved(short, projected, one_sided(mixer.mode))
    parts = [projected[:, n * mixer.width : (n + 1) * mixer.width] for n in range(mixer.order + 1)]
    z = parts[mixer.order]
    for n in range(1, mixer.order + 1):
        gate = parts[mixer.order - n]
        if n > 1:
            z = convolved(mixer.filters[n - 2](len(x)), z, mixer.mode) + mixer.skips[n - 2] * z
        z = gate * z
    return linear(mixer.output, z)


@pytest.mark.parametrize("order", [2, 3, 5])
@pytest.mark.parametrize("mode", MODES)
def test_is_equation_4(mode, order, seed):
    mixer = drawn(Hyena, WIDTH, LENGTH, seed=seed, mode=mode, order=order)
    for length in (1, 4, LENGTH):
        assert_equals(mixer, hyena, length)


def test_takes_other_filters_and_no_short_taps(seed):
    mixer = drawn(Hyena, WIDTH, LENGTH, seed=seed, causal=True, order=3, filter="free", short_taps=0)
    assert_equals(mixer, hyena, LENGTH)


class TakesItsGatesInTheWrongOrder(Hyena):
    def forward(self, x, lengths=None):
        x_last, *gates, v = self.project.weight.chunk(self.order + 1)
        with torch.no_grad():
            self.project.weight.copy_(torch.cat([x_last, *reversed(gates), v]))
        return super().forward(x, lengths)


class TakesItsSkipsInTheWrongOrder(Hyena):
    def forward(self, x, lengths=None):
        first, *others = [skip.detach().clone() for skip in self.skips]
        with torch.no_grad():
            for skip, other in zip(self.skips, [*others, first], strict=True):
                skip.copy_(other)
        return super().forward(x, lengths)


@pytest.mark.parametrize("mutant", [TakesItsGatesInTheWrongOrder, TakesItsSkipsInTheWrongOrder])
def test_a_wrong_order_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, causal=True, order=3)
    before = drawn(Hyena, WIDTH, LENGTH, seed=seed, causal=True, order=3)
    with pytest.raises(AssertionError):
        assert_equals(mixer, lambda _, x: hyena(before, x), LENGTH)


@pytest.mark.parametrize("mode", MODES)
def test_of_order_2_it_is_the_gated_convolution(mode, seed):
    """They differ in the default filter, and in how skip weights and projections start."""
    one = drawn(Hyena, WIDTH, LENGTH, seed=seed, mode=mode, filter="free")
    other = GatedConv(WIDTH, LENGTH, mode=mode).double()
    names = {"filters.0.taps": "filter.taps", "skips.0": "skip"}
    other.load_state_dict({names.get(name, name): value for name, value in one.state_dict().items()})
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(one(x), other(x))
    assert one.flops(LENGTH) == other.flops(LENGTH)


@pytest.mark.parametrize("order", [2, 3, 6])
def test_is_a_form_of_one_degree_more_than_its_order(order, seed):
    mixer = drawn(Hyena, WIDTH, LENGTH, seed=seed, causal=True, order=order)
    torch.nn.init.zeros_(mixer.project.bias)
    torch.nn.init.zeros_(mixer.output.bias)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(mixer(2 * x), 2 ** (order + 1) * mixer(x))


def test_every_convolution_has_a_filter_of_its_own():
    mixer = Hyena(WIDTH, LENGTH, order=4, hidden=8)
    assert [filter_.weight.shape[2] for filter_ in mixer.filters] == [8] * 3
    assert len({id(p) for p in mixer.filters.parameters()}) == 3 * len(list(mixer.filters[0].parameters()))
    with pytest.raises(InputError, match="order 3 needs 2 filters"):
        Hyena(WIDTH, LENGTH, order=3, filter=FreeTaps(WIDTH, LENGTH, mode="circular"))


def test_its_own_filters_options_are_known_without_its_name():
    made = build_mixer("hyena[hidden=8,frequency=3.0,order=3]", WIDTH, LENGTH, causal=True)
    assert [filter_.initial_frequency for filter_ in made.filters] == [3.0, 3.0]
    with pytest.raises(InputError, match="'init'"):
        mixer_options("hyena[init=flat]")


@pytest.mark.parametrize("order", [-1, 0, 1])
def test_has_at_least_two_gates(order):
    with pytest.raises(InputError, match="at least 2 gates"):
        Hyena(WIDTH, LENGTH, order=order)
