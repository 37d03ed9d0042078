"""How mixers start: the output has about the size of the input, where that is white noise."""

from functools import partial

import pytest
import torch

from globalconv.mixers import GMLP, H3, DynamicConv, FNet, Hyena, LightConv, Synthesizer

BUILDS = {
    "hyena": Hyena,
    "hyena, order 5": partial(Hyena, order=5),
    "h3": H3,
    "light_conv": LightConv,
    "light_conv, no gate": partial(LightConv, glu=False),
    "dynamic_conv": DynamicConv,
    "gmlp": GMLP,
    "fnet": FNet,
    "synthesizer": Synthesizer,
    "synthesizer, linear": partial(Synthesizer, rows="linear"),
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", BUILDS)
@torch.no_grad()
def test_white_noise_keeps_its_size(name, causal, seed):
    if causal and name == "fnet":
        pytest.skip("fnet cannot be causal")
    torch.manual_seed(seed)
    mixer = BUILDS[name](64, 128, causal=causal)
    assert 0.2 < float(mixer(torch.randn(16, 128, 64)).std()) < 1.5
