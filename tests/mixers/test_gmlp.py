"""gMLP's block against its equations; how it starts; its mutants."""

import math

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers import GMLP
from globalconv.mixers.contract import check_mixer
from globalconv.states import begin
from tests.mixers.parity import assert_equals, drawn, linear

WIDTH, LENGTH = 3, 7


def gmlp(mixer: GMLP, x: Tensor) -> Tensor:
    """arXiv 2105.08050, section 2: Z = gelu(X U), s(Z) = Z1 . (W norm(Z2) + b), Y = s(Z) V; norm over the channels.

    The causal one leaves the sums over later tokens out.
    """
    z = linear(mixer.project, x)
    z = z * (1 + torch.erf(z / math.sqrt(2))) / 2
    z1, z2 = z[:, : mixer.width], z[:, mixer.width :]
    normed = []
    for token in z2:
        centred = token - token.mean()
        spread = (centred.square().mean() + mixer.norm.eps).sqrt()
        normed.append(centred / spread * mixer.norm.weight + mixer.norm.bias)
    outputs = []
    for t in range(len(x)):
        gate = mixer.gate.bias[t] + torch.zeros_like(z1[t])
        for s in range(t + 1 if mixer.causal else len(x)):
            gate = gate + mixer.gate.weight[t, s] * normed[s]
        outputs.append(z1[t] * gate)
    return linear(mixer.output, torch.stack(outputs))


@pytest.mark.parametrize("causal", [True, False])
def test_is_the_formula(causal, seed):
    mixer = drawn(GMLP, WIDTH, LENGTH, seed=seed, causal=causal)
    for length in (1, 4, LENGTH):
        assert_equals(mixer, gmlp, length)


class Transposed(GMLP):
    def forward(self, x, lengths=None):
        with torch.no_grad():
            self.gate.weight.copy_(self.gate.weight.T.clone())
        return super().forward(x, lengths)


class GatesTheOtherHalf(GMLP):
    def parts(self, x):
        gating, gated = torch.nn.functional.gelu(self.project(x)).chunk(2, dim=-1)
        return gated, self.norm(gating)


@pytest.mark.parametrize("mutant", [Transposed, GatesTheOtherHalf])
def test_a_wrong_part_is_noticed(mutant, seed):
    mixer, before = (drawn(kind, WIDTH, LENGTH, seed=seed) for kind in (mutant, GMLP))
    with pytest.raises(AssertionError):
        assert_equals(mixer, lambda _, x: gmlp(before, x), LENGTH)


class Unmasked(GMLP):
    def forward(self, x, lengths=None):
        causal, self.causal = self.causal, False
        y = super().forward(x, lengths)
        self.causal = causal
        return y


def test_a_missing_mask_is_noticed(seed):
    with pytest.raises(AssertionError, match="the_future_does_not_leak"):
        check_mixer(Unmasked, seed=seed)


def test_starts_as_a_perceptron_of_each_token(seed):
    torch.manual_seed(seed)
    mixer = GMLP(16, 64)
    x = torch.randn(2, 64, 16)
    own = mixer.output(torch.nn.functional.gelu(mixer.project(x))[..., :16])
    assert (mixer(x) - own).norm() < 0.01 * own.norm()
    assert mixer(x).std() > 0.5


@pytest.mark.parametrize("causal", [True, False])
def test_has_weights_for_its_length_only(causal):
    mixer = GMLP(WIDTH, 8, causal=causal)
    with pytest.raises(InputError, match="weights for 8 positions, and the input has 9"):
        mixer(torch.randn(1, 9, WIDTH))
    if causal:
        with pytest.raises(InputError, match="weights for 8 positions"):
            begin(mixer, batch=1, longest=9)
