"""Each step reduces modulo the children of its node, and the way up undoes it: on NumPy's numbers."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.ops.fused_cpu import arithmetic
from globalconv.ops.fused_cpu.transform import child_roots, node_constants

RADICES = (2, 3, 4, 5)
REAL_CHILDREN = {2: [0.25], 3: [1 / 3], 4: [0.25, 0.125, 0.625], 5: [1 / 5, 2 / 5]}
"""The roots, in turns, of the complex nodes below a real step."""


def step(kind: str, radix: int, way: str):
    return getattr(arithmetic, f"{kind}{way}{radix}")


def parts(numbers: np.ndarray) -> list[float]:
    return [part for number in numbers for part in (number.real, number.imag)]


def numbers(flat) -> np.ndarray:
    return np.array(flat[::2]) + 1j * np.array(flat[1::2])


@pytest.mark.parametrize("radix", RADICES)
@given(turns=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 2**31 - 1))
def test_down_reduces_modulo_the_children(radix, turns, seed):
    """sum_j x_j z^(j q) modulo z^q - v is sum_j v^j x_j."""
    draw = np.random.default_rng(seed)
    x = draw.standard_normal(radix) + 1j * draw.standard_normal(radix)
    got = numbers(step("", radix, "down")(tuple(parts(x)), node_constants(radix, turns)))
    roots = [cmath.exp(2j * math.pi * child) for child in child_roots(radix, turns)]
    np.testing.assert_allclose(got, [sum(x * v ** np.arange(radix)) for v in roots], atol=1e-12)


@pytest.mark.parametrize("kind", ["", "real_"])
@pytest.mark.parametrize("radix", RADICES)
@given(turns=st.floats(0, 1, exclude_max=True), seed=st.integers(0, 2**31 - 1))
def test_up_undoes_down(kind, radix, turns, seed):
    x = np.random.default_rng(seed).standard_normal(2 * radix)
    c = node_constants(radix, turns)
    y = list(step(kind, radix, "down")(tuple(x), c))
    if kind and radix in (3, 5):  # complex nodes of twice the rows come up twice as large
        y = y[:2] + [2 * part for part in y[2:]]
    np.testing.assert_allclose(step(kind, radix, "up")(tuple(y), c), radix * x, atol=1e-12)


@pytest.mark.parametrize("radix", RADICES)
@given(rows=st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
def test_real_down_reduces_modulo_the_children(radix, rows, seed):
    """Of 2 q radix real numbers, q = ``rows``: one child z^(2q) - 1, and complex ones."""
    x = np.random.default_rng(seed).standard_normal(2 * rows * radix)
    half = rows * radix
    table = [(x[n], x[n + half]) for n in range(half)]  # the rows of the node
    for n in range(rows):
        meeting = [part for k in range(radix) for part in table[n + k * rows]]
        after = step("real_", radix, "down")(tuple(meeting), ())
        for k in range(radix):
            table[n + k * rows] = tuple(after[2 * k : 2 * k + 2])

    folded = x.reshape(radix, 2 * rows).sum(0)  # modulo z^(2q) - 1
    np.testing.assert_allclose(table[:rows], np.stack([folded[:rows], folded[rows:]], 1), atol=1e-12)
    width = 1 if radix in (2, 4) else 2  # a complex child has so many times q rows
    for k, turns in enumerate(REAL_CHILDREN[radix]):
        size = width * rows
        root = cmath.exp(2j * math.pi * turns)
        expected = sum(root**j * x[j * size : (j + 1) * size] for j in range(len(x) // size))
        first = rows + k * size
        got = [complex(*row) for row in table[first : first + size]]
        np.testing.assert_allclose(got, expected, atol=1e-12)
