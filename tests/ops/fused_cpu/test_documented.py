"""docs/kernels.md shows the trees that the kernels are given, and its leaves are where the numbers go."""

import cmath
import importlib.util
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from globalconv.ops.fused_cpu.interpreter import work_off
from globalconv.ops.fused_cpu.roles import GO_DOWN
from globalconv.ops.fused_cpu.transform import circular_root, plan_of, right_angle_root

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "kernels.md"
NODE = re.compile(r"z(?:\^(\d+))? - (1|i|e\((\d+/\d+)\)) +rows? (\d+)(?: to (\d+))?")


def test_the_page_shows_the_trees_as_they_are():
    spec = importlib.util.spec_from_file_location("tree", ROOT / "docs" / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    shown = tree.BEGIN + tree.pictures() + tree.END
    assert shown in PAGE.read_text(encoding="utf-8"), "run: python docs/tree.py"


@pytest.mark.parametrize(("title", "root_of"), [("Circular", circular_root), ("Causal", right_angle_root)])
def test_each_node_on_the_page_is_the_polynomial_that_its_rows_are_reduced_by(title, root_of):
    """Of z^t the program leaves v^t in the row of z - v; and every leaf below z^n - w is a root of it."""
    drawn = PAGE.read_text(encoding="utf-8").split(f"\n{title}")[1].split("```text\n")[1].split("```")[0]
    nodes = NODE.findall(drawn)
    assert len(nodes) == len(drawn.strip().splitlines())
    plan = plan_of(root_of(16))
    positions = np.zeros((plan.rows, 2, 1, 16))
    for t in range(16):
        positions[t % plan.rows, t // plan.rows, 0, t] = 1
    work_off(plan, positions, GO_DOWN)
    leaves = {}
    for power, root, turns, first, last in nodes:
        v = {"1": 1, "i": 1j}.get(root) or cmath.exp(2j * math.pi * float(Fraction(turns)))
        row, n = int(first), int(power or 1)
        if n == 1:
            leaves[row] = v
            got = positions[row, 0, 0] + 1j * positions[row, 1, 0]
            np.testing.assert_allclose(got, v ** np.arange(16), atol=1e-12)
        elif n == 2 and not last:  # z^2 - 1 keeps its coefficients
            np.testing.assert_array_equal(positions[row, :, 0], np.arange(16) % 2 == [[0], [1]])
            leaves[row] = 1
    assert sorted(leaves) == list(range(plan.rows))
    for power, root, turns, first, last in nodes:
        w = {"1": 1, "i": 1j}.get(root) or cmath.exp(2j * math.pi * float(Fraction(turns)))
        for row in range(int(first), int(last or first) + 1):
            assert abs(leaves[row] ** int(power or 1) - w) < 1e-12
