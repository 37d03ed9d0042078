"""The compiled kernels against their executable specification, to the last bit; and that against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from globalconv.ops.fused_cpu.interpreter import Interpreter, work_off
from globalconv.ops.fused_cpu.operator import OPERATIONS
from globalconv.ops.fused_cpu.roles import GO_DOWN
from globalconv.ops.fused_cpu.rounded import Numbers, fused_multiply_add
from globalconv.ops.fused_cpu.transform import Plan, circular_root, plan_of, right_angle_root, smooth
from globalconv.ops.interface import MODES

DTYPES = (torch.float32, torch.float64)
SMOOTH = [n for n in range(1, 200) if smooth(n)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=30)
@given(
    length=st.one_of(st.integers(1, 150), st.sampled_from([192, 256, 320, 375, 480, 512, 600, 1024])),
    lags=st.integers(1, 1024),
    batch=st.integers(1, 3),
    groups=st.integers(1, 9),
    per_group=st.sampled_from([1, 3]),
    extras=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_kernel_does_what_the_interpreter_does(
    mode, dtype, length, lags, batch, groups, per_group, extras, seed
):
    """Equal numbers: results and every gradient, for any plan, with and without gates and skip."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    width, lags = groups * per_group, min(lags, length)
    x, dy = draw(batch, length, width), draw(batch, length, width)
    taps = draw(groups, 2 * lags - 1 if mode == "bidirectional" else lags)
    skip, gate_in, gate_out = (
        draw(*shape) if given else None
        for given, shape in zip(extras, ((width,), x.shape, x.shape), strict=True)
    )
    with torch.no_grad():
        y = OPERATIONS.convolve(x, taps, skip, gate_in, gate_out, mode, False)
        got = OPERATIONS.differentiate(x, taps, skip, gate_in, gate_out, dy, mode, [True] * 5)

    arrays = [None if tensor is None else tensor.numpy() for tensor in (skip, gate_in, gate_out)]
    own = taps.repeat_interleave(per_group, dim=0)
    call = Interpreter(own.numpy(), arrays[0], length, mode)
    np.testing.assert_array_equal(y.numpy(), call.convolve(x.numpy(), *arrays[1:]))
    dx, dtaps, dgate_in, dgate_out = map(
        torch.from_numpy, call.differentiate(x.numpy(), *arrays[1:], dy.numpy())
    )
    dskip = dtaps[:, taps.shape[1] // 2 if mode == "bidirectional" else 0]
    shared = dtaps if per_group == 1 else dtaps.unflatten(0, (groups, -1)).sum(1)
    for ours, right in zip(got, (dx, shared, dskip, dgate_in, dgate_out), strict=True):
        assert torch.equal(ours, right)


def way_down(plan: Plan) -> np.ndarray:
    """The matrix of the way down, of real numbers to real numbers."""
    buffer = np.eye(2 * plan.rows).reshape(plan.rows, 2, 1, -1)
    work_off(plan, buffer, GO_DOWN)
    return buffer.reshape(2 * plan.rows, -1)


@pytest.mark.parametrize("root_of", [right_angle_root, lambda size: circular_root(2 * size)])
@given(size=st.sampled_from(SMOOTH))
def test_the_way_down_is_orthogonal_but_for_the_rows(root_of, size):
    """What docs/kernels.md proves: D D^T = rows, so that D^T is the way up, and conjugates are adjoints."""
    down = way_down(plan_of(root_of(size)))
    np.testing.assert_allclose(down @ down.T, size * np.eye(2 * size), atol=1e-11 * size)


SIZED = st.floats(1e-60, 1e3) | st.floats(-1e3, -1e-60)  # the product's last bit is no subnormal


@given(st.tuples(SIZED, SIZED, SIZED), st.sampled_from([np.float32, np.float64]))
def test_a_fused_product_is_rounded_once(numbers, dtype):
    """Also where the sum cancels, and where the third number decides a tie."""
    a, b, c = (np.asarray(dtype(number)) for number in numbers)
    for third in (c, -a * b, dtype(1e-9) * a * b, dtype(1e9) * a * b):
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(third))
        got = fused_multiply_add(a, b, third)
        assert got.dtype == dtype
        error = abs(Fraction(float(got)) - exact)
        for neighbour in (np.nextafter(got, dtype(np.inf)), np.nextafter(got, dtype(-np.inf))):
            assert error <= abs(Fraction(float(neighbour)) - exact)


def test_products_that_are_rounded_twice_are_told_apart():
    """A specification that rounded the product would not be the kernels': (1 + e)(1 - e) - 1 is -e^2, not 0."""
    for dtype, e in ((np.float32, 2.0**-13), (np.float64, 2.0**-28)):
        a, b, c = (Numbers(dtype(value)) for value in (1 + e, 1 - e, -1))
        assert a.times_plus(b, c).value == -(e**2)
        assert (a * b + c).value == 0
