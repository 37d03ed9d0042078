"""FNet's mixing against its equation, and against the block of transformers."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers import FNet
from tests.mixers.parity import assert_equals

WIDTH, LENGTH = 4, 6


def fnet(_: FNet, x: Tensor) -> Tensor:
    """arXiv 2105.03824, equation 3: Re(F_seq(F_h(x))), over sqrt(tokens channels); equation 1 for each transform."""
    tokens, channels = x.shape
    outputs = []
    for k in range(tokens):
        for m in range(channels):
            y = x.new_zeros(())
            for n in range(tokens):
                for c in range(channels):
                    y = y + cmath.exp(-2j * cmath.pi * (k * n / tokens + m * c / channels)).real * x[n, c]
            outputs.append(y / math.sqrt(tokens * channels))
    return torch.stack(outputs).view(tokens, channels)


@pytest.mark.parametrize("length", [1, 2, 5, LENGTH, LENGTH + 3])
@pytest.mark.parametrize("width", [1, 3, WIDTH])
def test_is_equation_3(width, length):
    assert_equals(FNet(width, LENGTH), fnet, length)


class LosesTheMinus(FNet):
    """The transform of the tokens there, that of the channels back: its real part is another one."""

    def forward(self, x, lengths=None):
        return super().forward(torch.cat([x[..., :1], x[..., 1:].flip(2)], dim=2), lengths)


class TransformsTokensAlone(FNet):
    def forward(self, x, lengths=None):
        return torch.fft.fft(x, dim=1, norm="ortho").real


@pytest.mark.parametrize("mutant", [LosesTheMinus, TransformsTokensAlone])
def test_another_transform_is_noticed(mutant):
    with pytest.raises(AssertionError):
        assert_equals(mutant(WIDTH, LENGTH), fnet, LENGTH)


def test_is_the_block_of_transformers(seed):
    """google-research, f_net/layers.py, FourierTransform and the norm behind its residual sum."""
    transformers = pytest.importorskip("transformers", reason="the transformers package is not installed")
    modeling = pytest.importorskip("transformers.models.fnet.modeling_fnet")
    torch.manual_seed(seed)
    config = transformers.FNetConfig(hidden_size=WIDTH, intermediate_size=8, num_hidden_layers=1)
    theirs = modeling.FNetFourierTransform(config).double().eval()
    x = torch.randn(3, LENGTH, WIDTH, dtype=torch.float64)
    size = math.sqrt(LENGTH * WIDTH)
    torch.testing.assert_close(size * FNet(WIDTH, LENGTH)(x), theirs.self(x)[0])
    torch.testing.assert_close(theirs.output.LayerNorm(x + size * FNet(WIDTH, LENGTH)(x)), theirs(x)[0])


def test_twice_is_half_of_it_and_half_of_its_mirror_image(seed):
    """Re F is symmetric, and its square is (1 + reversal) / 2."""
    torch.manual_seed(seed)
    mixer, x = FNet(WIDTH, LENGTH), torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    mirrored = x.flip(1, 2).roll((1, 1), (1, 2))
    torch.testing.assert_close(mixer(mixer(x)), (x + mirrored) / 2)


def test_has_no_parameters_and_is_never_causal():
    assert not list(FNet(WIDTH, LENGTH).parameters())
    with pytest.raises(InputError, match="cannot be causal"):
        FNet(WIDTH, LENGTH, causal=True)
