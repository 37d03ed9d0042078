"""LightConv and DynamicConv against their equations, tap by tap; how heads share taps; their mutants."""

from functools import partial

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers import DynamicConv, LightConv
from globalconv.mixers.contract import check_mixer
from tests.mixers.parity import assert_equals, drawn, linear

WIDTH, LENGTH = 6, 8
KINDS = [LightConv, DynamicConv]


def gated(mixer: LightConv | DynamicConv, x: Tensor) -> Tensor:
    """arXiv 1901.10430, section 3: a projection to 2d and a gated linear unit, a . sigmoid(b)."""
    u = linear(mixer.project, x)
    return u[:, : mixer.width] * torch.sigmoid(u[:, mixer.width :]) if mixer.glu else u


def averaged(weights: Tensor, u: Tensor, t: int, *, centre: int) -> Tensor:
    """Equations 2 and 3 at position t: for channel c, sum_j softmax(W[ceil(c H / d)])[j] u[t + j - centre].

    ``weights`` (heads, k); j counts from 1 in the paper, c too, and ``centre`` is ceil((k + 1) / 2). In fairseq,
    lightweight_convolution.py: _forward_expanded.
    """
    heads, num_taps = weights.shape
    outputs = []
    for c in range(u.shape[1]):
        head = -(-(c + 1) * heads // u.shape[1]) - 1
        exponentials = weights[head].exp()
        y = u.new_zeros(())
        for j in range(1, num_taps + 1):
            if 0 <= t + j - centre < len(u):
                y = y + exponentials[j - 1] / exponentials.sum() * u[t + j - centre, c]
        outputs.append(y)
    return torch.stack(outputs)


def centre_of(mixer: LightConv | DynamicConv, num_taps: int) -> int:
    """Causal: the last tap meets the token itself."""
    return num_taps if mixer.causal else -(-(num_taps + 1) // 2)


def light_conv(mixer: LightConv, x: Tensor) -> Tensor:
    u, weights = gated(mixer, x), mixer.filter.weights.flip(1)  # ours are in lag order
    centre = centre_of(mixer, weights.shape[1])
    mixed = torch.stack([averaged(weights, u, t, centre=centre) for t in range(len(u))])
    return linear(mixer.output, mixed)


def dynamic_conv(mixer: DynamicConv, x: Tensor) -> Tensor:
    """Section 4, equation 5: the weights of position t are W^Q u[t], (heads, k)."""
    u, centre = gated(mixer, x), centre_of(mixer, mixer.num_taps)
    mixed = []
    for t in range(len(u)):
        weights = (mixer.weigh.weight @ u[t]).view(mixer.num_heads, mixer.num_taps).flip(1)
        mixed.append(averaged(weights, u, t, centre=centre))
    return linear(mixer.output, torch.stack(mixed))


REFERENCES = {LightConv: light_conv, DynamicConv: dynamic_conv}


@pytest.mark.parametrize("glu", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_is_the_formula(kind, causal, glu, seed):
    for heads, taps in ((2, 5), (3, 1), (1, 7)):
        mixer = drawn(kind, WIDTH, LENGTH, seed=seed, causal=causal, num_heads=heads, taps=taps, glu=glu)
        for length in (1, 5, LENGTH, LENGTH + 3):
            assert_equals(mixer, REFERENCES[kind], length, batch=1)


class TiesTheWrongChannels(LightConv):
    """Channel c to head c mod H, as in fairseq's LightweightConv1d."""

    def forward(self, x, lengths=None):
        order = torch.arange(self.width).view(self.filter.channels, -1).T.flatten()
        back = order.argsort()
        u = self.projected(x)[..., back]
        return self.output(self.filter.convolve(u)[..., order])


class OffByOne(LightConv):
    """The centre one tap late."""

    def forward(self, x, lengths=None):
        u = self.projected(x)
        mixed = self.filter.convolve(u)
        return self.output(torch.cat([torch.zeros_like(mixed[:, :1]), mixed[:, :-1]], dim=1))


class WeighsByTheNeighbour(DynamicConv):
    def averaged(self, given, around):
        return super().averaged(given.roll(1, 1), around)


@pytest.mark.parametrize("mutant", [TiesTheWrongChannels, OffByOne, WeighsByTheNeighbour])
def test_a_wrong_tap_is_noticed(mutant, seed):
    mixer = drawn(mutant, WIDTH, LENGTH, seed=seed, num_heads=2)
    with pytest.raises(AssertionError):
        assert_equals(mixer, REFERENCES[mutant.__base__], LENGTH)


class OneTapAhead(DynamicConv):
    """Causal, it says."""

    def __init__(self, width, length, *, causal=False):
        super().__init__(width, length, causal=causal, taps=3, num_heads=2)
        self.ahead = min(1, self.num_taps - 1)


def test_a_tap_ahead_is_noticed(seed):
    with pytest.raises(AssertionError, match="the_future_does_not_leak"):
        check_mixer(OneTapAhead, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_taps_are_an_average(kind, seed):
    """Where nothing is outside, a sequence of equal tokens is left as it is by the convolution."""
    mixer = drawn(kind, WIDTH, LENGTH, seed=seed, causal=True, taps=3, num_heads=2)
    x = torch.randn(1, 1, WIDTH, dtype=torch.float64).expand(1, LENGTH, WIDTH)
    torch.testing.assert_close(mixer(x)[:, 2:], mixer.output(mixer.projected(x))[:, 2:])


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_taps_than_lags(kind):
    def taps(length: int, *, causal: bool) -> int:
        mixer = kind(WIDTH, length, causal=causal, num_heads=1, taps=9)
        return mixer.num_taps if kind is DynamicConv else mixer.filter.weights.shape[1]

    assert [taps(n, causal=True) for n in (1, 4, 9, 20)] == [1, 4, 9, 9]
    assert [taps(n, causal=False) for n in (1, 4, 5, 20)] == [1, 7, 9, 9]


@pytest.mark.parametrize("kind", KINDS)
def test_dropped_taps_are_zero_in_training_alone(kind, seed):
    mixer = drawn(partial(kind, dropout=0.5), WIDTH, LENGTH, seed=seed, num_heads=1, taps=3)
    sure = drawn(kind, WIDTH, LENGTH, seed=seed, num_heads=1, taps=3)
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    assert torch.equal(mixer(x), sure(x))
    mixer.train()
    several = torch.stack([mixer(x) for _ in range(2000)])
    # Every tap is kept half of the time and doubled: the mean stays.
    assert (several.mean(0) - sure(x)).norm() < 0.2 * sure(x).norm()
    assert several.std(0).min() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_options_that_make_no_sense(kind):
    for wrong, why in (
        ({"taps": 0}, "at least 1"),
        ({"taps": 4}, "odd number"),
        ({"dropout": 1.0}, "probability"),
        ({"dropout": -0.1}, "probability"),
        ({"num_heads": 4}, "heads that fit"),
    ):
        with pytest.raises(InputError, match=why):
            kind(WIDTH, LENGTH, **{"num_heads": 2} | wrong)
    assert kind(WIDTH, LENGTH, causal=True, taps=4, num_heads=2)
