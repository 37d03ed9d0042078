"""Gates and skip: y = gate_out (h * u + skip u), u = gate_in x; forward, backward, and twice."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops import Mode, available_backends, global_conv
from tests.ops.laws import MODES, dense

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
EXTRAS = ("skip", "gate_in", "gate_out")
SUBSETS = [
    {name for bit, name in enumerate(EXTRAS) if number >> bit & 1} for number in range(2 ** len(EXTRAS))
]
Operator = Callable[..., Tensor]

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_mode = pytest.mark.parametrize("mode", MODES)


def right(x: Tensor, taps: Tensor, *, mode: Mode, **extras: Tensor) -> Tensor:
    """By the dense matrix, in float64, sharing no code with the package."""
    x, taps = x.double(), taps.double()
    skip, gate_in, gate_out = (extras[name].double() if name in extras else 1.0 for name in EXTRAS)
    inner = gate_in * x
    return gate_out * (dense(inner, taps, mode) + (skip * inner if "skip" in extras else 0))


def draw(
    mode: Mode,
    generator: torch.Generator,
    *,
    given: set[str],
    batch: int = 2,
    length: int = 9,
    groups: int = 2,
    per_group: int = 3,
    dtype: torch.dtype = torch.float64,
    taps_of_rows: bool = False,
) -> dict[str, Tensor]:
    """x, taps and the extras asked for, all normal, all wanting a gradient."""
    width = groups * per_group
    num_taps = 2 * length - 1 if mode == "bidirectional" else length
    taps = (groups, num_taps)
    shapes = {"x": (batch, length, width), "taps": (batch, *taps) if taps_of_rows else taps}
    shapes |= {"skip": (width,), "gate_in": shapes["x"], "gate_out": shapes["x"]}
    wanted = {"x", "taps"} | given
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for name, shape in shapes.items()
        if name in wanted
    }


def check(op: Operator, mode: Mode, operands: dict[str, Tensor], generator: torch.Generator) -> None:
    """The value and every gradient, within rounding of those of ``right``."""
    y = op(**operands, mode=mode)
    expected = right(**operands, mode=mode)
    assert y.shape == expected.shape
    assert y.is_contiguous()
    upstream = torch.randn(y.shape, generator=generator, dtype=torch.float64)
    of = list(operands.values())
    got = y, *torch.autograd.grad(y, of, upstream.to(y.dtype), materialize_grads=True)
    exact = expected, *torch.autograd.grad(expected, of, upstream)
    within = 1e-13 if y.dtype == torch.float64 else 5e-6
    for name, value, correct in zip(("y", *operands), got, exact, strict=True):
        size = max(float(correct.detach().norm()), 1.0)
        error = float((value.double() - correct).detach().norm()) / size
        assert error < within, f"{name}: relative error {error:.3g}"


@each_backend
@each_mode
@pytest.mark.parametrize("given_extras", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_formula_and_gradients(backend, mode, given_extras, dtype, seed):
    @settings(max_examples=6)
    @given(
        batch=st.integers(1, 3),
        length=st.one_of(st.integers(1, 20), st.sampled_from([32, 48, 64, 67, 80, 128])),
        groups=st.integers(1, 3),
        per_group=st.sampled_from([1, 3, 8, 17]),
        taps_of_rows=st.booleans(),
    )
    def holds(**sizes: Any) -> None:
        generator = torch.Generator().manual_seed(seed)
        operands = draw(mode, generator, given=given_extras, dtype=dtype, **sizes)
        check(functools.partial(global_conv, backend=backend), mode, operands, generator)

    holds()


@each_backend
@each_mode
@pytest.mark.parametrize("given_extras", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_derivatives_of_first_and_second_order(backend, mode, given_extras, taps_of_rows, generator):
    sizes = {"length": 3 if taps_of_rows else 4, "groups": 1, "per_group": 2}
    operands = draw(mode, generator, given=given_extras, taps_of_rows=taps_of_rows, **sizes)

    def op(*values: Tensor) -> Tensor:
        return global_conv(**dict(zip(operands, values, strict=True)), mode=mode, backend=backend)

    assert torch.autograd.gradcheck(op, tuple(operands.values()), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(op, tuple(operands.values()), check_fwd_over_rev=True)


@each_backend
@each_mode
def test_parts_of_one_projection(backend, mode, generator):
    """x and the gates as views into one tensor, as a mixer has them."""
    whole = torch.randn(2, 16, 3 * 24, generator=generator, requires_grad=True)
    operands = draw(mode, generator, given={"skip"}, length=16, groups=24, per_group=1, dtype=torch.float32)
    del operands["x"]
    results = []
    for copies in (False, True):
        parts = whole.chunk(3, dim=2)
        gate_in, x, gate_out = (part.contiguous() for part in parts) if copies else parts
        y = global_conv(x, **operands, mode=mode, gate_in=gate_in, gate_out=gate_out, backend=backend)
        results.append((y, *torch.autograd.grad(y.square().sum(), (whole, *operands.values()))))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@each_backend
@each_mode
@pytest.mark.parametrize("lengths", [None, (6, 9)], ids=["full", "padded"])
@pytest.mark.parametrize("given_extras", SUBSETS, ids=lambda names: "+".join(sorted(names)) or "none")
@pytest.mark.parametrize(("per_group", "taps_of_rows"), [(3, False), (16, False), (3, True)])
def test_what_comes_out_may_be_changed_in_place(
    backend, mode, given_extras, lengths, per_group, taps_of_rows, generator
):
    """With channels to spare in a register, and without: ``laws.own_memory`` with what is around the convolution."""
    operands = draw(mode, generator, given=given_extras, per_group=per_group, taps_of_rows=taps_of_rows)
    lengths = None if lengths is None else torch.tensor(lengths)
    before = {name: operand.detach().clone() for name, operand in operands.items()}
    results = []
    for in_place in (False, True):
        y = global_conv(**operands, mode=mode, lengths=lengths, backend=backend)
        assert y._base is None
        y = y.mul_(2).relu_() if in_place else (2 * y).relu()
        results.append(torch.autograd.grad(y.sum(), list(operands.values())))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    places = {tensor.untyped_storage().data_ptr() for tensor in (y, *results[1], *operands.values())}
    assert len(places) == 1 + 2 * len(operands)
    assert all(torch.equal(operands[name], value) for name, value in before.items())


@each_backend
@pytest.mark.parametrize("wanted", ["x", "taps", *EXTRAS])
def test_one_gradient_alone(backend, wanted, generator):
    operands = draw("causal", generator, given=set(EXTRAS))
    y = global_conv(**operands, mode="causal", backend=backend)
    together = dict(zip(operands, torch.autograd.grad(y.sum(), list(operands.values())), strict=True))
    frozen = {name: value if name == wanted else value.detach() for name, value in operands.items()}
    y = global_conv(**frozen, mode="causal", backend=backend)
    (alone,) = torch.autograd.grad(y.sum(), operands[wanted])
    torch.testing.assert_close(alone, together[wanted], rtol=1e-13, atol=1e-13)


@each_backend
@each_mode
@pytest.mark.parametrize("taps_of_rows", [False, True])
def test_vmap(backend, mode, taps_of_rows, generator):
    """Over the batch, and over layers that each have filters and gates of their own."""
    drawn = draw(mode, generator, given=set(EXTRAS), taps_of_rows=taps_of_rows)
    operands = {name: value.detach() for name, value in drawn.items()}

    def one(x: Tensor, gate_in: Tensor, gate_out: Tensor, taps: Tensor, skip: Tensor) -> Tensor:
        return global_conv(
            x[None],
            taps[None] if taps_of_rows else taps,
            mode=mode,
            skip=skip,
            gate_in=gate_in[None],
            gate_out=gate_out[None],
            backend=backend,
        )[0]

    names = ("x", "gate_in", "gate_out", "taps", "skip")
    together = global_conv(**operands, mode=mode, backend=backend)
    over_batch = torch.func.vmap(one, in_dims=(0, 0, 0, 0 if taps_of_rows else None, None))
    torch.testing.assert_close(over_batch(*(operands[name] for name in names)), together)

    with torch.no_grad():  # another way into the fused kernel
        torch.testing.assert_close(over_batch(*(operands[name] for name in names)), together)

    layers = {name: torch.stack([value, 2 * value]) for name, value in operands.items()}
    each = torch.func.vmap(lambda given: global_conv(**given, mode=mode, backend=backend))(layers)
    torch.testing.assert_close(each, torch.stack([together, 16 * together]))  # gates, input and filter: 2^4
    with torch.no_grad():
        each = torch.func.vmap(lambda given: global_conv(**given, mode=mode, backend=backend))(layers)
    torch.testing.assert_close(each, torch.stack([together, 16 * together]))

    def loss(**given: Tensor) -> Tensor:
        return global_conv(**given, mode=mode, backend=backend).square().sum()

    by_taps = torch.func.grad(lambda taps, rest: loss(taps=taps, **rest))
    rest = {name: value for name, value in operands.items() if name != "taps"}
    both = torch.func.vmap(by_taps, in_dims=(0, None))(layers["taps"], rest)
    torch.testing.assert_close(both[0], by_taps(operands["taps"], rest))


def no_skip(*, skip: Tensor, **operands) -> Tensor:
    return global_conv(**operands) + 0 * skip


def skip_around_the_gate(*, skip: Tensor, gate_out: Tensor, x: Tensor, **operands) -> Tensor:
    return gate_out * (global_conv(x, **operands) + skip * x)


def gates_exchanged(*, gate_in: Tensor, gate_out: Tensor, **operands) -> Tensor:
    return global_conv(**operands, gate_in=gate_out, gate_out=gate_in)


def skip_after_the_gate(*, skip: Tensor, gate_in: Tensor, x: Tensor, **operands) -> Tensor:
    return global_conv(x, gate_in=gate_in, **operands) + skip * gate_in * x


def frozen_gate(*, gate_in: Tensor, **operands) -> Tensor:
    return global_conv(**operands, gate_in=gate_in.detach() + 0 * gate_in)


def frozen_skip(*, skip: Tensor, **operands) -> Tensor:
    return global_conv(**operands, skip=skip.detach() + 0 * skip)


def stale_output_gate(*, gate_out: Tensor, x: Tensor, **operands) -> Tensor:
    """Its gradient without the skip term."""
    y = global_conv(x, **operands, gate_out=gate_out.detach())
    without = {name: value for name, value in operands.items() if name != "skip"}
    convolved = global_conv(x, **without).detach()
    return y + (gate_out - gate_out.detach()) * convolved


@pytest.mark.parametrize(
    "mutant",
    [
        no_skip,
        skip_around_the_gate,
        gates_exchanged,
        skip_after_the_gate,
        frozen_gate,
        frozen_skip,
        stale_output_gate,
    ],
    ids=lambda mutant: mutant.__name__,
)
@each_mode
def test_mutant_is_caught(mode, mutant, generator):
    operands = draw(mode, generator, given=set(EXTRAS))
    with pytest.raises(AssertionError):
        check(mutant, mode, operands, generator)


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("skip", (5,), r"skip must have the shape \(6,\)"),
        ("skip", (1, 6), r"skip must have the shape \(6,\)"),
        ("gate_in", (2, 1, 6), r"gate_in must have the shape \(2, 9, 6\)"),
        ("gate_out", (9, 6), r"gate_out must have the shape \(2, 9, 6\)"),
    ],
)
def test_wrong_shapes_are_refused(name, shape, says, generator):
    operands = draw("causal", generator, given=set())
    with pytest.raises(InputError, match=says):
        global_conv(**operands, mode="causal", **{name: torch.zeros(shape)})


def test_wrong_dtypes_are_refused(generator):
    operands = draw("causal", generator, given=set())
    with pytest.raises(InputError, match=r"gate_in has dtype torch\.int64"):
        global_conv(**operands, mode="causal", gate_in=torch.ones(2, 9, 6, dtype=torch.int64))


def test_a_wider_gate_decides_the_precision(generator):
    operands = draw("causal", generator, given=set(), dtype=torch.bfloat16)
    gate = torch.randn(2, 9, 6, generator=generator, dtype=torch.float64)
    y = global_conv(**operands, mode="causal", gate_out=gate)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y.double(), right(**operands, mode="causal", gate_out=gate).bfloat16().double())
