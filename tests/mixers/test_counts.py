"""The flops that mixers declare, against a count of all that they do, elementwise products and sums too."""

from functools import partial

import pytest
import torch

from globalconv.measure.counting import count_call
from globalconv.mixers import GMLP, H3, DynamicConv, FNet, Hyena, LightConv, Synthesizer

BATCH, LENGTH, WIDTH = 4, 64, 8
"""Large enough for the fused kernels, whose counts are the operator's formulas."""
BUILDS = {
    **{
        f"hyena, order {order}": partial(Hyena, order=order, filter="free", backend="fused_cpu")
        for order in (2, 4)
    },
    "h3": partial(H3, filter="free", backend="fused_cpu", short_taps=5),
    **{f"light_conv, glu {glu}": partial(LightConv, glu=glu, backend="fused_cpu") for glu in (True, False)},
    **{
        f"dynamic_conv, {taps} taps, glu {glu}": partial(DynamicConv, taps=taps, glu=glu)
        for taps, glu in ((1, True), (7, False))
    },
    "gmlp": GMLP,
    "fnet": FNet,
    **{f"synthesizer, {rows}": partial(Synthesizer, rows=rows) for rows in ("softmax", "linear")},
}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [LENGTH, LENGTH - 5])
@pytest.mark.parametrize("name", BUILDS)
def test_flops_are_counted(name, length, causal):
    if causal and name == "fnet":
        pytest.skip("fnet cannot be causal")
    mixer = BUILDS[name](WIDTH, LENGTH, causal=causal)
    x = torch.randn(BATCH, length, WIDTH)
    counts, _ = count_call(mixer, x, backward=False)
    assert counts.flops == pytest.approx(BATCH * mixer.flops(length), rel=1e-12)
