"""Decoding is measured with the states that `globalconv generate` runs, and its formula agrees with a count."""

import pytest
import torch

from globalconv.decoding import begin
from globalconv.measure.case import Case
from globalconv.measure.cost.contenders import CONTENDERS
from globalconv.measure.cost.counted import cost_of
from globalconv.measure.counting import count
from globalconv.measure.curves import decodes, decoding_call
from globalconv.mixers import GlobalConv

NAMES = ("attention", "global_conv", "gated_conv")


def built(name, length, *, causal=True):
    return CONTENDERS[name].build(128, length, causal=causal, heads=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_decodes_the_whole_sequence_and_can_be_repeated(name, seed):
    torch.manual_seed(seed)
    mixer, x = built(name, 70), torch.randn(2, 70, 128)
    call = decoding_call(mixer, x)
    for _ in range(2):
        torch.testing.assert_close(call(), mixer(x)[:, -1].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [40, 300])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_formula_agrees_with_a_count_of_all_tokens(name, length):
    """But for the six flops of a spectrum's last bin, which the convention of ops.flops leaves out."""
    mixer = built(name, length)
    counted = count(decoding_call(mixer, torch.randn(2, length, 128))).flops / length
    case = Case("decode", "causal", gated=False, threads=1, batch=2, width=128, length=length)
    assert cost_of(CONTENDERS[name], case, 2).flops == pytest.approx(counted, rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_cached_is_what_the_state_keeps(name):
    state = begin(built(name, 200), batch=3, longest=200)
    case = Case("decode", "causal", gated=False, threads=1, batch=3, width=128, length=200)
    assert cost_of(CONTENDERS[name], case, 2).kept == 4 * state.numbers()


def test_what_is_computed_again_for_every_token_does_not_decode():
    class Mine(GlobalConv):
        def forward(self, x, lengths=None):
            return 2 * super().forward(x, lengths)

    assert all(decodes(built(name, 8)) for name in NAMES)
    assert not decodes(built("token_mlp", 8, causal=False))
    assert not decodes(built("global_conv", 8, causal=False))
    assert not decodes(Mine(8, 8, causal=True))
