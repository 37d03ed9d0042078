"""The transform as mathematics: which reductions, in which order, with which constants.

A signal x[0..N-1] is the polynomial x(z) = sum_t x[t] z^t, and a convolution that closes on itself after N steps, with
a factor w, is multiplication modulo z^N - w. With w = 1 that is the circular convolution; with w = i, for a real signal
and real taps of length L <= N, the real part is the causal convolution, *without padding to 2L* (and, with taps of lag
-j at -i z^(N-j), the bidirectional one).

Products modulo z^N - w are cheap after the **remainder tree**. With v one of the r-th roots of w,

    z^(r q) - w = product over its r roots v of (z^q - v)

and the remainder of sum_j z^(j q) x_j(z) modulo z^q - v is sum_j v^j x_j(z): at each of the q positions a twist by
powers of one constant, then a discrete Fourier transform of r points. Repeated, N numbers modulo z^N - w become N
numbers modulo z - v: the spectrum, in the tree's own order, which no one needs to undo, for the filter goes down the
same tree. The way up undoes each step, r times too large.

**Rows.** A complex number takes a row of a buffer. Modulo z^N - i there are N rows. Modulo z^N - 1 real signals stay
real where the root is real, and need no partner where it is not: its conjugate's remainder is the conjugate. So N even
numbers take N / 2 rows, half the work:

- a *real node* z^(2q) - 1 keeps its coefficients c as rows (c[n], c[n + q]), n < q;
- z^(2q) + 1 = (z^q - i)(z^q + i): of the pair only the remainder modulo z^q - i is kept, which is
  c[n] + i c[n + q]: a row that needs no arithmetic at all;
- of z^(4q) + 1, the remainders modulo z^q - e^(i pi / 4) and z^q + e^(i pi / 4); of the third and fifth
  roots of one, those in the upper half plane.

The chain of real nodes ends with one row, the remainder (c[0], c[1]) modulo z^2 - 1, which is multiplied as it is.

**Order.** A plan is the tree written out as lists of instructions. The *top*, its first step, touches every row,
and is taken on the way from the tensors where it can be; each of the subtrees below is then worked off depth
first, so that it is finished while it lies in a near cache.

``docs/kernels.md`` has the tree of 16 numbers as a picture, proofs, and the literature.
"""

import cmath
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
BLOCKS = (1, 2, 4, 16, BLOCK)
"""Subtrees of these sizes are one instruction; their rows fit the first-level cache."""
NODE_CONSTANTS = 8
"""Numbers per node in the table of constants: cos and sin of up to four powers, whatever the radix."""
SIXTEEN_CONSTANTS = 5 * NODE_CONSTANTS
"""Of a subtree of 16 rows: a node, and its four children."""

DOWN, UP, REAL_DOWN, REAL_UP, BLOCK_OF, REAL_LEAF = range(6)
"""Kinds of instruction: steps of complex and of real nodes, whole subtrees, and the node z^2 - 1."""


def record(row: type[tuple[int, ...]]) -> np.dtype[np.void]:
    """The NumPy type of a table of such named tuples; a kernel reads ``table[k].name``."""
    return np.dtype([(name, np.int64) for name in row._fields], align=True)  # type: ignore[attr-defined]


class Instruction(NamedTuple):
    """A step or a subtree of a plan."""

    kind: int
    size: int  # the radix of a step; how many rows a subtree has
    row: int  # the first
    apart: int  # the distance of the rows that meet in a step
    constants: int  # where its node's begin in the plan's table


INSTRUCTION = record(Instruction)


class Node(NamedTuple):
    """A polynomial of the tree, and the rows in which its remainder lies.

    z^rows - e^(2 pi i turns), or, where ``turns`` is None, the real node z^(2 rows) - 1.
    """

    row: int
    rows: int
    turns: float | None

    @property
    def radix(self) -> int:
        """Of the step to its children; 1 for a leaf."""
        rows = self.rows
        if self.turns is None and rows % 4 == 0 and rows % 3 and rows % 5:
            return 4
        return _radix(rows)

    def children(self) -> "list[Node]":
        radix = self.radix
        apart = self.rows // radix
        if self.turns is not None:
            roots = child_roots(radix, self.turns)
            return [Node(self.row + k * apart, apart, root) for k, root in enumerate(roots)]
        return [
            Node(self.row, apart, None),
            *(Node(self.row + k * apart, width * apart, root) for k, width, root in REAL_CHILDREN[radix]),
        ]


REAL_CHILDREN = {
    2: [(1, 1, 1 / 4)],
    3: [(1, 2, 1 / 3)],
    4: [(1, 1, 1 / 4), (2, 1, 1 / 8), (3, 1, 5 / 8)],
    5: [(1, 2, 1 / 5), (3, 2, 2 / 5)],
}
"""The complex children of a real node, by radix: first row and rows in units of the first child's, and root."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A tree as a program.

    ``rows`` of a buffer. ``top`` (1,), or (0,) where the whole tree is one block: the first step down, which is undone
    last. ``inner`` (instructions,): the rest. ``constants`` float64, see ``node_constants``. ``first``: the radix of
    the first step, 0 if there is none.
    """

    rows: int
    top: NDArray[np.void]
    inner: NDArray[np.void]
    constants: NDArray[np.float64]
    first: int


def right_angle_root(size: int) -> Node:
    """z^size - i; size = 2^a 3^b 5^c."""
    return Node(0, size, 0.25)


def circular_root(size: int) -> Node:
    """z^size - 1, for real signals; size = 2^a 3^b 5^c, and even."""
    assert size % 2 == 0
    return Node(0, size // 2, None)


def plan_of(root: Node) -> Plan:
    """The tree below ``root``, written out depth first."""
    writer = _Writer()
    writer.write(root)
    # Never empty, so that every plan's table is of one type; and as long as what a node without constants reads.
    writer.constants.extend([0.0] * NODE_CONSTANTS)
    return Plan(
        rows=root.rows,
        top=np.array(writer.top, INSTRUCTION),
        inner=np.array(writer.inner, INSTRUCTION),
        constants=np.frombuffer(writer.constants, np.float64),
        first=writer.top[0].size if writer.top else 0,
    )


class _Writer:
    def __init__(self) -> None:
        self.top: list[Instruction] = []
        self.inner: list[Instruction] = []
        self.constants = array(
            "d"
        )  # 5 for each number of the size: Python's would take four times the memory

    def write(self, node: Node) -> None:
        row, rows, turns = node
        first = len(self.constants)
        if turns is None and rows == 1:
            self.inner.append(Instruction(REAL_LEAF, 1, row, 0, first))
            return
        # In a buffer, every 64 rows are followed by a free one: a block's rows may not lie on both sides.
        # (Those of 16 and more begin at multiples of half their size, and are worked off by fours.)
        if turns is not None and rows in BLOCKS and row % min(rows, 4) == 0:
            self.constants.extend(_subtree_constants(node))
            self.inner.append(Instruction(BLOCK_OF, rows, row, 0, first))
            return
        down, up = (REAL_DOWN, REAL_UP) if turns is None else (DOWN, UP)
        radix = node.radix
        self.constants.extend(_constants(node))
        program = self.inner if self.inner or self.top else self.top
        program.append(Instruction(down, radix, row, rows // radix, first))
        for child in node.children():
            self.write(child)
        if program is self.inner:
            program.append(Instruction(up, radix, row, rows // radix, first))


def child_roots(radix: int, turns: float) -> list[float]:
    """The roots (in turns) of the children of z^(radix q) - e^(2 pi i turns), in the tree's order.

    Radix 4 is two steps of radix 2, and keeps their order.
    """
    order = (0, 2, 1, 3) if radix == 4 else range(radix)
    return [((turns + k) / radix) % 1.0 for k in order]


def node_constants(radix: int, turns: float) -> list[float]:
    """cos and sin of the powers of v, the radix-th root of the node's, that a step needs; padded to 8.

    Radix 4: of v^2 (the first of its two steps), v, and v^3 (for the way up); others: v, v^2, ...
    """
    powers = {2: (1,), 3: (1, 2), 4: (2, 1, 3), 5: (1, 2, 3, 4)}[radix]
    numbers = []
    for power in powers:
        v = cmath.exp(2j * math.pi * ((turns * power / radix) % 1.0))
        numbers += [v.real, v.imag]
    return numbers + [0.0] * (NODE_CONSTANTS - len(numbers))


def smooth(number: int) -> bool:
    """Whether a tree fits: no prime factor above 5."""
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def size_for(length: int) -> int:
    """The least size >= ``length`` of the form 2^a times 1, 3, 5, 9 or 15: all but the last steps radix 4."""
    best = 1
    while best < length:
        best *= 2
    for odd in (3, 5, 9, 15):
        size = odd
        while size < length:
            size *= 2
        best = min(best, size)
    return best


def _radix(rows: int) -> int:
    """1 for a leaf. Odd factors first, where the passes are long; one step of radix 2, where the cache is near."""
    for odd in (5, 3):
        if rows % odd == 0:
            return odd
    twos = rows.bit_length() - 1
    if twos == 0:
        return 1
    return 2 if twos % 2 and rows <= 2 * BLOCK else 4


def _constants(node: Node) -> list[float]:
    """Those of its own step; real steps have none."""
    return [] if node.turns is None or node.rows == 1 else node_constants(node.radix, node.turns)


def _subtree_constants(node: Node) -> Iterator[float]:
    """Those of a whole subtree, each node before its children."""
    yield from _constants(node)
    if node.rows > 1:
        for child in node.children():
            yield from _subtree_constants(child)
