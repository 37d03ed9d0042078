"""Derivatives from the inputs on: the same in every backend and under every transform, with or without no_grad."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from globalconv.mixers import GatedConv, GlobalConv
from globalconv.ops import available_backends, global_conv
from tests.ops.laws import MODES, dense
from tests.ops.test_extras import EXTRAS, draw, right

BACKENDS = [None, *(status.name for status in available_backends() if status.obstacle is None)]
Function = Callable[..., Tensor]

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_mode = pytest.mark.parametrize("mode", MODES)
each_grad_mode = pytest.mark.parametrize("grad_mode", [torch.enable_grad, torch.no_grad])


def by_jvp(op: Function, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    return jvp(op, at, along)[1]


def by_dual_numbers(op: Function, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    with forward_ad.dual_level():
        y = op(*(forward_ad.make_dual(value, tangent) for value, tangent in zip(at, along, strict=True)))
        tangent = forward_ad.unpack_dual(y).tangent
        return torch.zeros_like(y) if tangent is None else tangent


def by_vmap_of_jvp(op: Function, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    """Over tangents, as jacfwd; the second twice the first."""
    many = tuple(torch.stack([tangent, 2 * tangent]) for tangent in along)
    first, second = vmap(lambda *along: jvp(op, at, along)[1])(*many)
    torch.testing.assert_close(second, 2 * first)
    return first


def by_jvp_of_vmap(op: Function, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    stacked = [tuple(torch.stack([value, value]) for value in values) for values in (at, along)]
    first, second = jvp(vmap(op), *stacked)[1]
    torch.testing.assert_close(second, first)
    return first


def by_jvp_within_grad(op: Function, at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    """The derivative of <y, v> along the tangents is their gradient's, for every v: a gradient gives it back."""
    v = torch.zeros_like(op(*at))
    return grad(lambda v: (jvp(op, at, along)[1] * v).sum())(v)


WAYS = (by_jvp, by_dual_numbers, by_vmap_of_jvp, by_jvp_of_vmap, by_jvp_within_grad)


@each_backend
@each_mode
@each_grad_mode
@pytest.mark.parametrize("given_extras", [set(), set(EXTRAS)], ids=["plain", "extras"])
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_tangent(backend, mode, grad_mode, given_extras, taps_of_rows, generator):
    """That of the dense matrix, along each operand and, in every way, along all."""
    drawn = draw(mode, generator, given=given_extras, taps_of_rows=taps_of_rows)
    operands = {name: v.detach() for name, v in drawn.items()}
    tangents = {
        name: torch.randn(v.shape, generator=generator, dtype=v.dtype) for name, v in operands.items()
    }

    def check(*moved: str, ways: tuple[Callable[..., Tensor], ...]) -> None:
        def along_these(of: Function) -> Function:
            return lambda *values: of(**operands | dict(zip(moved, values, strict=True)), mode=mode)

        at, along = (tuple(chosen[name] for name in moved) for chosen in (operands, tangents))
        expected = jvp(along_these(right), at, along)[1]
        for way in ways:
            with grad_mode():
                got = way(along_these(lambda **named: global_conv(**named, backend=backend)), at, along)
            torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)

    for name in operands:
        check(name, ways=(by_jvp,))
    check(*operands, ways=WAYS)


@each_backend
@each_mode
@each_grad_mode
def test_second_derivatives_in_either_order(backend, mode, grad_mode, generator):
    """Of a loss that is a square, by x and the taps together; forward over forward is one of them."""
    x, taps = (
        v.detach() for v in draw(mode, generator, given=set(), batch=1, length=3, per_group=1).values()
    )

    def loss(op: Function) -> Function:
        return lambda x, taps: op(x, taps).square().sum()

    expected = jacrev(jacrev(loss(lambda x, taps: dense(x, taps, mode)), (0, 1)), (0, 1))(x, taps)
    ours = loss(lambda x, taps: global_conv(x, taps, mode=mode, backend=backend))
    with grad_mode():
        found = [
            outer(inner(ours, (0, 1)), (0, 1))(x, taps)
            for outer in (jacfwd, jacrev)
            for inner in (jacfwd, jacrev)
        ]
        found.append(hessian(ours, (0, 1))(x, taps))
    for blocks in found:
        for block, right_block in zip(sum(blocks, ()), sum(expected, ()), strict=True):
            torch.testing.assert_close(block, right_block, rtol=1e-11, atol=1e-11)


@each_backend
@each_mode
@each_grad_mode
@pytest.mark.parametrize("num_taps", [1, 9])
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_tangent_of_padded_rows(backend, mode, grad_mode, num_taps, taps_of_rows, generator):
    x, v = torch.randn(2, 3, 9, 4, generator=generator, dtype=torch.float64)
    taps, u = torch.randn(2, 3, 2, num_taps, generator=generator, dtype=torch.float64)
    if not taps_of_rows:
        taps, u = taps[0], u[0]
    lengths = torch.tensor([9, 1, 4])

    def op(x: Tensor, taps: Tensor) -> Tensor:
        return global_conv(x, taps, mode=mode, lengths=lengths, backend=backend)

    expected = op(v, taps) + op(x, u)
    with grad_mode():
        for way in WAYS:
            got = way(op, (x, taps), (v, u))
            torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)


@each_grad_mode
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("build", [GlobalConv, GatedConv])
def test_through_a_layer(build, backend, grad_mode, generator):
    """Large enough that no backend leaves it to another: a forward derivative is that of a backward pass."""
    layer = build(16, 320, causal=True, backend=backend).double()
    x, v, u = torch.randn(3, 2, 320, 16, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad((layer(x.requires_grad_()) * u).sum(), x)
    with grad_mode():
        tangent = jvp(layer, (x.detach(),), (v,))[1]
    torch.testing.assert_close((tangent * u).sum(), (expected * v).sum(), rtol=1e-10, atol=1e-10)


def test_in_inference_mode(generator):
    """A call that keeps nothing is no reason to lose a tangent."""
    x, taps = torch.randn(2, 40, 16, generator=generator), torch.randn(16, 40, generator=generator)
    with torch.inference_mode():
        tangent = jvp(lambda x: global_conv(x, taps, mode="causal", backend="fused_cpu"), (x,), (x,))[1]
        assert torch.equal(tangent, global_conv(x, taps, mode="causal", backend="fused_cpu"))
