"""One token at a time gives what the whole sequence gives, at its last place."""

import pytest
import torch

from globalconv.cost.contenders import CONTENDERS
from globalconv.cost.counting import count
from globalconv.cost.decode import decode_theory, decoder_of
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, TokenMLP

BUILDS = {
    "rotary": lambda w, n: Attention(w, n, causal=True, num_heads=2),
    "learned positions": lambda w, n: Attention(w, n, causal=True, num_heads=2, positions="learned"),
    "no positions": lambda w, n: Attention(w, n, causal=True, num_heads=2, positions="none"),
    "global_conv": lambda w, n: GlobalConv(w, n, causal=True),
    "gated_conv": lambda w, n: GatedConv(w, n, causal=True),
}


def randomised(mixer):
    """Every parameter drawn: at the start some are zeros and ones, which hide what does not use them."""
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return mixer.double()


@pytest.mark.parametrize("length", [1, 2, 3, 17])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", BUILDS)
@torch.no_grad()
def test_the_next_token_is_that_of_the_whole_sequence(name, batch, length, seed):
    torch.manual_seed(seed)
    mixer = randomised(BUILDS[name](8, length))
    x = torch.randn(batch, length, 8, dtype=torch.float64)
    decoder = decoder_of(mixer, x[:, :-1])
    expected = mixer(x)[:, -1]
    torch.testing.assert_close(decoder.step(x[:, -1]), expected)
    other = decoder.step(x[:, -1] + 1)
    assert length == 1 or not torch.allclose(other, expected)
    torch.testing.assert_close(decoder.step(x[:, -1]), expected)  # the token was replaced, not added


@pytest.mark.parametrize("name", BUILDS)
@torch.no_grad()
def test_all_of_the_past_matters(name, seed):
    torch.manual_seed(seed)
    mixer = randomised(BUILDS[name](8, 12))
    x = torch.randn(1, 12, 8, dtype=torch.float64)
    y = decoder_of(mixer, x[:, :-1]).step(x[:, -1])
    for place in range(11):
        changed = x.clone()
        changed[:, place] += 1
        assert not torch.allclose(decoder_of(mixer, changed[:, :-1]).step(x[:, -1]), y), place


@pytest.mark.parametrize("name", BUILDS)
@torch.no_grad()
def test_the_theory_of_a_step_is_near_what_is_counted(name):
    """Exact in the leading terms: what grows with the width squared, and with the length."""
    mixer = BUILDS[name](64, 512)
    decoder = decoder_of(mixer, torch.randn(2, 511, 64))
    token = torch.randn(2, 64)
    known = decode_theory(mixer, batch=2)
    counted = count(lambda: decoder.step(token))
    # PyTorch's counter has no products in a sum over a dimension; the convolutions' are half of their flops.
    halves = 2 * 512 * 64 if name.endswith("conv") else 0
    assert known.flops - halves == pytest.approx(counted.flops, rel=0.05)
    products = 2 * 4 * 2 * 512 * 64 if name.endswith("conv") else 0
    assert known.moved + products == pytest.approx(counted.moved, rel=0.1)


def test_what_cannot_decode_says_so():
    with pytest.raises(InputError, match="causal=True"):
        decoder_of(GlobalConv(8, 8), torch.zeros(1, 7, 8))
    mixer = TokenMLP(8, 8)
    mixer.causal = True
    with pytest.raises(InputError, match="no decoder for TokenMLP"):
        decoder_of(mixer, torch.zeros(1, 7, 8))
    with pytest.raises(InputError, match="no decoder"):
        decode_theory(CONTENDERS["token_mlp"].build(8, 8, causal=False, heads=None), batch=1)
