"""torch.jit.trace, which records what is done to one input, with its derivatives."""

import pytest
import torch

from globalconv.mixers import MIXERS
from globalconv.ops import global_conv
from tests.mixers.builds import built

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MIXERS)
def test_a_traced_mixer_computes_and_learns_the_same(name, training, seed):
    """Large enough that the fused kernels would be chosen."""
    torch.manual_seed(seed)
    mixer = built(name, 32, 64).train(training)
    x = torch.randn(16, 64, 32)
    traced = torch.jit.trace(mixer, x)
    other = torch.randn(16, 64, 32)
    torch.testing.assert_close(traced(other), mixer(other), rtol=1e-4, atol=1e-4)
    operands = [other.requires_grad_(), *mixer.parameters()]
    upstream = torch.randn(16, 64, 32)
    found, right = (torch.autograd.grad(layer(other), operands, upstream) for layer in (traced, mixer))
    for gradient, expected in zip(found, right, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("mode", ["circular", "causal", "bidirectional"])
def test_the_operator_traced(mode, generator):
    x, taps = torch.randn(16, 64, 32, generator=generator), torch.randn(32, 63, generator=generator)
    traced = torch.jit.trace(lambda x, taps: global_conv(x, taps, mode=mode), (x, taps))
    torch.testing.assert_close(traced(x, taps), global_conv(x, taps, mode=mode), rtol=1e-4, atol=1e-3)
