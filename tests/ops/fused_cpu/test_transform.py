"""The tree as mathematics: a plan, worked off by NumPy, is the map to the remainders and back."""

import cmath
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.ops.fused_cpu.transform import (
    BLOCK_OF,
    DOWN,
    REAL_DOWN,
    REAL_LEAF,
    REAL_UP,
    UP,
    child_roots,
    circular_root,
    node_constants,
    plan_of,
    right_angle_root,
    size_for,
    smooth,
)

SMOOTH = [n for n in range(1, 400) if smooth(n)]


@pytest.mark.parametrize("radix", [2, 3, 4, 5])
@given(turns=st.floats(0, 1, exclude_max=True))
def test_the_children_are_the_roots(radix, turns):
    found = {round((child * radix - turns) % 1.0, 9) % 1.0 for child in child_roots(radix, turns)}
    assert found == {0.0}
    roots = child_roots(radix, turns)
    assert len({round(root, 9) for root in roots}) == radix


@given(turns=st.floats(0, 1, exclude_max=True))
def test_constants_of_radix_four_are_powers_of_its_first_root(turns):
    c = node_constants(4, turns)
    v = cmath.exp(2j * math.pi * child_roots(4, turns)[0])
    for place, power in ((0, 2), (2, 1), (4, 3)):
        assert abs(complex(c[place], c[place + 1]) - v**power) < 1e-12


@given(st.integers(1, 100_000))
def test_size_for(length):
    size = size_for(length)
    assert length <= size <= 1.34 * length
    assert smooth(size)
    odd = size
    while odd % 2 == 0:
        odd //= 2
    assert odd in (1, 3, 5, 9, 15)


@pytest.mark.parametrize("root_of", [right_angle_root, lambda size: circular_root(2 * size)])
@given(size=st.sampled_from(SMOOTH))
def test_every_row_reaches_one_leaf_and_every_step_down_is_undone(root_of, size):
    plan = plan_of(root_of(size))
    assert plan.rows == size
    leaves, open_steps = [], []
    top = [tuple(step) for step in plan.top.tolist()]
    undone = [({DOWN: UP, REAL_DOWN: REAL_UP}[step[0]], *step[1:]) for step in top]
    assert [step[1] for step in top] == ([plan.first] if plan.first else [])
    for kind, radix, row, apart, first in [*top, *map(tuple, plan.inner.tolist()), *undone]:
        if kind in (DOWN, REAL_DOWN):
            open_steps.append((kind, radix, row, apart, first))
        elif kind in (UP, REAL_UP):
            down = {UP: DOWN, REAL_UP: REAL_DOWN}[kind]
            assert open_steps.pop() == (down, radix, row, apart, first)
        else:
            assert kind in (BLOCK_OF, REAL_LEAF)
            # In a buffer every 64 rows are followed by a free one: fours are read as neighbours.
            assert radix == 1 or row % min(radix, 4) == 0
            leaves += range(row, row + radix)
    assert not open_steps
    assert sorted(leaves) == list(range(size))
    assert np.isfinite(plan.constants).all()
