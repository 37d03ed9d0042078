"""H3 against its equations: the recurrences of its two state spaces, token by token; and its mutants."""

import pytest
import torch
from torch import Tensor

from globalconv.mixers import H3, GatedConv
from globalconv.ops.interface import MODES
from tests.mixers.parity import assert_equals, convolved, drawn, linear, one_sided

WIDTH, LENGTH = 3, 9


def projections(mixer: H3, x: Tensor) -> tuple[Tensor, ...]:
    return linear(mixer.project, x).chunk(3, dim=1)


def h3(mixer: H3, x: Tensor) -> Tensor:
    """arXiv 2212.14052, section 3.1: q . SSM_diag(SSM_shift(k) . v), both as convolutions with a skip weight."""
    query, key, value = projections(mixer, x)
    gated = convolved(mixer.shift(len(x)), key, one_sided(mixer.mode)) * value
    mixed = convolved(mixer.filter(len(x)), gated, mixer.mode) + mixer.skip * gated
    return linear(mixer.output, query * mixed)


def h3_as_recurrences(mixer: H3, x: Tensor) -> Tensor:
    """The same by its states (HazyResearch/safari, src/models/sequence/h3.py, ``step``).

    The shift state space (ssm/ss_kernel_shift.py) moves its state by one place and puts the input in front; the
    diagonal one (S4D, arXiv 2206.11893) is x' = A x + u, held over a step dt.
    """
    query, key, value = projections(mixer, x)
    taps, own = mixer.shift.taps, mixer.filter
    line = x.new_zeros(mixer.width, taps.shape[1])
    step, decay = own.log_step[0].exp(), own.log_decay[0].exp()
    a = torch.complex(-decay, own.frequency[0])
    weight = 2 * torch.view_as_complex(own.weight[0]) * ((step * a).exp() - 1) / a
    state = torch.zeros_like(a)
    outputs = []
    for t in range(len(x)):
        line = torch.cat([key[t][:, None], line[:, :-1]], dim=1)
        gated = (taps * line).sum(1) * value[t]
        state = (step * a).exp() * state + gated[:, None]
        mixed = (weight * state).sum(1).real + mixer.skip * gated
        outputs.append(query[t] * mixed)
    return linear(mixer.output, torch.stack(outputs))


@pytest.mark.parametrize("mode", MODES)
def test_is_the_formula(mode, seed):
    mixer = drawn(H3, WIDTH, LENGTH, seed=seed, mode=mode, states=4, short_taps=5)
    for length in (5, LENGTH):
        assert_equals(mixer, h3, length)


@pytest.mark.parametrize("short_taps", [1, 4, 64])
def test_is_its_two_recurrences(short_taps, seed):
    mixer = drawn(H3, WIDTH, LENGTH, seed=seed, causal=True, states=6, short_taps=short_taps)
    for length in (1, 5, LENGTH):
        assert_equals(mixer, h3_as_recurrences, length)


class ShiftsTheValues(H3):
    """Query, key and value in another order."""

    def forward(self, x, lengths=None):
        query, key, value = self.project.weight.chunk(3)
        with torch.no_grad():
            self.project.weight.copy_(torch.cat([query, value, key]))
        return super().forward(x, lengths)


class ForgetsItsSkip(H3):
    def forward(self, x, lengths=None):
        own, self.skip = self.skip, torch.nn.Parameter(torch.zeros_like(self.skip))
        y = super().forward(x, lengths)
        self.skip = own
        return y


@pytest.mark.parametrize("mutant", [ShiftsTheValues, ForgetsItsSkip])
def test_a_wrong_part_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, causal=True, states=4)
    before = drawn(H3, WIDTH, LENGTH, seed=seed, causal=True, states=4)
    with pytest.raises(AssertionError):
        assert_equals(mixer, lambda _, x: h3(before, x), LENGTH)


def test_without_a_shift_it_is_a_gated_convolution_without_short_taps(seed):
    one = drawn(H3, WIDTH, LENGTH, seed=seed, causal=True, short_taps=0, filter="free")
    other = GatedConv(WIDTH, LENGTH, causal=True, short_taps=0).double()
    other.load_state_dict(one.state_dict())
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(one(x), other(x))
