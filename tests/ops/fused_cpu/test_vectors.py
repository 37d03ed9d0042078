"""The vector primitives, each in a kernel of its own."""

import operator

import numba
import numpy as np
import pytest

from globalconv.ops.fused_cpu import rows, vectors
from globalconv.ops.fused_cpu.arithmetic import fma
from globalconv.ops.fused_cpu.transform import NODE_CONSTANTS

DTYPES = (np.float32, np.float64)


def lanes(dtype) -> int:
    return vectors.REGISTER_BYTES // np.dtype(dtype).itemsize


def draw(dtype, *shape):
    return np.random.default_rng().standard_normal(shape).astype(dtype)


def addresses(array):
    """Of the rows of an array."""
    return np.array([row.ctypes.data for row in array], np.int64)


@numba.njit
def turn(kind, table, offset, tile, back, back_table):
    vectors.gather(kind, table, offset, tile)
    vectors.scatter(kind, tile, back_table, back)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_transposes_and_scatter_transposes_back(dtype):
    n = lanes(dtype)
    source, tile, back = draw(dtype, n, 3 * n), np.zeros((n, n), dtype), np.zeros((n, 2 * n), dtype)
    item, table, back_table = source.itemsize, addresses(source), addresses(back)
    places = tile.ctypes.data, 2 * item, back_table.ctypes.data
    turn(source[0], table.ctypes.data, 5 * item, *places)
    np.testing.assert_array_equal(tile, source[:, 5 : 5 + n].T)
    np.testing.assert_array_equal(back[:, 2 : 2 + n], source[:, 5 : 5 + n])
    assert not back[:, :2].any()
    assert not back[:, 2 + n :].any()


_fma = vectors.on_registers(1, lambda a, b, c: fma(a, b, c))
_add = vectors.on_registers(1, operator.add)
_swapped = vectors.on_registers(2, lambda a, b: (b - a, a * 0.5))


@numba.njit
def compute(kind, a, b, c, first, second, third, streamed):
    x, y, z = vectors.load(kind, a), vectors.load(kind, b), vectors.load(kind, c)
    vectors.store(first, _fma(x, y, z))
    pair = _swapped(x, y)
    vectors.store(second, pair[0])
    vectors.store(third, pair[1])
    vectors.stream(streamed, _add(x, vectors.zero(kind)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_on_registers(dtype):
    n = lanes(dtype)
    a, b, c, first, second, third = draw(dtype, 6, n)
    memory = np.zeros(2 * n, dtype)
    at = -memory.ctypes.data % vectors.REGISTER_BYTES // memory.itemsize
    streamed = memory[at : at + n]
    compute(a, *(array.ctypes.data for array in (a, b, c, first, second, third, streamed)))
    np.testing.assert_array_equal(second, b - a)
    np.testing.assert_array_equal(third, a * dtype(0.5))
    np.testing.assert_array_equal(streamed, a)
    exact = a.astype(np.longdouble) * b + c
    np.testing.assert_allclose(first, exact.astype(dtype), rtol=np.finfo(dtype).eps)


def test_fused_means_rounded_once():
    """(1 + e)(1 - e) - 1 is -e^2, and 0 if the product is rounded."""
    n = lanes(np.float32)
    e = np.float32(2.0**-12)
    a, b, c = (np.full(n, value, np.float32) for value in (1 + e, 1 - e, -1))
    results = draw(np.float32, 3, n)
    memory = np.zeros(2 * n, np.float32)
    at = -memory.ctypes.data % vectors.REGISTER_BYTES // 4
    compute(a, *(array.ctypes.data for array in (a, b, c, *results, memory[at:])))
    np.testing.assert_array_equal(results[0], np.full(n, -(e**2), np.float32))


_negated_and_summed = rows.in_place(2, lambda x, c: (-x[2], x[3] + c[1], x[0], x[1]))


@numba.njit
def move(constants, buffer, row, apart):
    _negated_and_summed(constants, buffer, row, apart, vectors.splat_constants(constants, 3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("row", "apart"), [(0, 1), (63, 1), (5, 64), (100, 40)])
def test_a_step_in_place_finds_its_rows(dtype, row, apart):
    """One row in 65 is left free."""
    n = lanes(dtype)
    constants = draw(dtype, 3 + NODE_CONSTANTS)
    memory = draw(dtype, rows.buffer_bytes(200) // vectors.REGISTER_BYTES // 2, 2, n)
    before = memory.copy()
    move(constants, memory.ctypes.data, row, apart)
    first, second = (place + place // 64 for place in (row, row + apart))
    np.testing.assert_array_equal(
        memory[first], np.stack([-before[second, 0], before[second, 1] + constants[4]])
    )
    np.testing.assert_array_equal(memory[second], before[first])
    untouched = [k for k in range(len(memory)) if k not in (first, second)]
    np.testing.assert_array_equal(memory[untouched], before[untouched])
