"""What a mixer gives may be changed in place, as what torch.nn's layers give: nn.ReLU(inplace=True), y += residual."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers import MIXERS, GatedConv, GlobalConv
from globalconv.ops import available_backends
from tests.mixers.builds import built

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
BUILDS = {
    **{name: partial(built, name) for name in MIXERS},
    **{
        f"{kind.__name__}, {name}": partial(kind, backend=name)
        for kind in (GlobalConv, GatedConv)
        for name in BACKENDS
    },
}
LENGTH = 320  # with 32 channels and two rows above what is left to torch.fft


def relu(y: Tensor, _: Tensor) -> Tensor:
    return nn.ReLU(inplace=True)(y)


def residual(y: Tensor, x: Tensor) -> Tensor:
    y += x
    return y


def dropout(y: Tensor, _: Tensor) -> Tensor:
    torch.manual_seed(1)
    return F.dropout(y, 0.5, inplace=True)


@pytest.mark.parametrize("lengths", [None, (LENGTH, 7)], ids=["full", "padded"])
@pytest.mark.parametrize("change", [relu, residual, dropout], ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", BUILDS)
def test_the_result_may_be_changed_in_place(name, change, lengths, generator):
    torch.manual_seed(0)
    mixer = BUILDS[name](32, LENGTH)
    x = torch.randn(2, LENGTH, 32, generator=generator)
    before, lengths = x.clone(), None if lengths is None else torch.tensor(lengths)
    of = [x.requires_grad_(), *mixer.parameters()]
    out_of_place = torch.autograd.grad(change(mixer(x, lengths).clone(), x).square().sum(), of)
    in_place = torch.autograd.grad(change(mixer(x, lengths), x).square().sum(), of)
    assert all(torch.equal(a, b) for a, b in zip(in_place, out_of_place, strict=True))
    with torch.no_grad():
        mixer(x, lengths).zero_()
    assert torch.equal(x, before)
