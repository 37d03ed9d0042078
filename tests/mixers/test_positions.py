"""Positions that are computed: exact in every dtype, whatever is around when they are made, used, moved or copied."""

import copy
import math

import pytest
import torch
from torch import nn

from globalconv.mixers import Attention
from globalconv.mixers.positions import rotary_turns, rotate, sinusoids
from globalconv.models.cross_mixer import CrossAttention
from globalconv.models.embedding import SinusoidalPositions
from tests.mixers.ambient import default_dtype

LENGTH, WIDTH = 5000, 8
HALVES = [torch.bfloat16, torch.float16]
TURNED = {
    "attention": lambda: Attention(WIDTH, LENGTH, num_heads=1),
    "cross attention": lambda: CrossAttention(WIDTH, LENGTH, num_heads=1, rotary=True),
}


def right_turns() -> torch.Tensor:
    angles = [[t / 10000 ** (2 * i / WIDTH) for i in range(WIDTH // 2)] for t in range(LENGTH)]
    return torch.tensor([[[f(a) for a in row] for row in angles] for f in (math.cos, math.sin)])


@pytest.fixture(scope="module")
def right():
    return right_turns()


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
def test_tables_do_not_know_the_default_dtype(dtype, right):
    with default_dtype(dtype):
        turns, places = rotary_turns(LENGTH, WIDTH), sinusoids(LENGTH, WIDTH)
    assert turns.dtype == places.dtype == torch.float32
    torch.testing.assert_close(turns, right, rtol=0, atol=1e-7)
    torch.testing.assert_close(places[:, ::2], right[1], rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", TURNED)
def test_a_layers_table_is_right_however_it_came_about(name, right):
    def check(layer: nn.Module, *, dtype=torch.float32) -> None:
        assert layer.rotary.turns.dtype == dtype
        torch.testing.assert_close(layer.rotary.turns.float(), right, rtol=0, atol=1e-7)

    build = TURNED[name]
    for half in HALVES:
        with default_dtype(half):
            check(build())
        check(build().to(half))
        check(copy.deepcopy(build().to(half)).float())
    check(build().double(), dtype=torch.float64)
    with torch.device("meta"):
        layer = build()
    assert layer.rotary.turns.is_meta
    layer.to_empty(device="cpu")
    check(layer)
    layer.rotary.turns.fill_(math.nan)
    layer.rotary.reset_parameters()
    check(layer)
    torch.set_default_device("meta")
    try:
        assert build().rotary.turns.is_meta
    finally:
        torch.set_default_device(None)
    assert not any("turns" in key for key in build().state_dict())


def test_weights_that_are_put_where_there_was_no_memory():
    """load_state_dict(assign=True) fills no buffer; the table is then made where it is needed."""
    whole = Attention(WIDTH, 20, num_heads=2)
    with torch.device("meta"):
        layer = Attention(WIDTH, 20, num_heads=2)
    layer.load_state_dict(whole.state_dict(), assign=True)
    x = torch.randn(2, 20, WIDTH)
    assert torch.equal(layer(x), whole(x))


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_rounded_once(dtype, seed):
    """Far along the sequence, where a table in half precision would be some other place's."""
    torch.manual_seed(seed)
    x = torch.randn(1, LENGTH, WIDTH).to(dtype)
    for function in (SinusoidalPositions(), lambda x: rotate(x, rotary_turns(LENGTH, WIDTH, like=x))):
        y, exact = function(x), function(x.double())
        assert y.dtype == dtype
        spacing = torch.finfo(dtype).eps * exact.abs() + torch.finfo(dtype).tiny
        assert ((y - exact).abs() <= 0.51 * spacing + 1e-6).all()


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_what_is_put_in_the_projections_place_is_asked(positions, seed):
    """An adapter, whose base has a weight that does not say it all."""
    torch.manual_seed(seed)

    class Adapted(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    mixer, x = (
        Attention(WIDTH, 9, num_heads=2, positions=positions).double(),
        torch.randn(2, 9, WIDTH).double(),
    )
    adapted = Adapted(WIDTH, 3 * WIDTH).double()
    adapted.load_state_dict(mixer.project.state_dict())
    doubled = copy.deepcopy(mixer)
    with torch.no_grad():
        for parameter in doubled.project.parameters():
            parameter.mul_(2)
    mixer.project = adapted
    torch.testing.assert_close(mixer(x), doubled(x))
