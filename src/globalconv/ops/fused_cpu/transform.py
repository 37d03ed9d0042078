"""The transform as mathematics: which reductions, in which order, with which constants.

A signal x[0..N-1] is the polynomial x(z) = sum_t x[t] z^t, and a convolution that closes on itself after
N steps, with a factor w, is multiplication modulo z^N - w:

- **w = 1**: what leaves at the end comes in at the start: the circular convolution of length N.
- **w = i** (the right-angle convolution): what leaves at the end comes in times i. For a real signal and
  a real filter, both of length L <= N, the real part is the causal convolution, *without padding to 2L*;
  the imaginary part is what would have wrapped. Filters of negative lags fit in as well: z^-j is
  -i z^(N-j), so their taps enter as imaginary parts at the end, and the real part of the product is the
  bidirectional convolution.

Products modulo z^N - w are cheap after the **remainder tree**. With v one of the r-th roots of w,

    z^(r q) - w = product over its r roots v of (z^q - v)

and the remainder of sum_j z^(j q) x_j(z) modulo z^q - v is sum_j v^j x_j(z): at each of the q positions
a twist by powers of one constant, then a discrete Fourier transform of r points. Repeated, N numbers
modulo z^N - w become N numbers modulo z - v for the N-th roots v of w: the spectrum, in the tree's own
order, which no one needs to undo, for the filter goes down the same tree. There the product is one
multiplication per number, and the way up undoes each step (r times too large; the filter carries 1/N).

All constants of a node are one root, and neighbours in memory are treated alike: that is what makes it
fit vector registers that hold one position of many channels. (The tree is Fiduccia's, 1972; as an FFT in
this form it is known as the "twisted" or decimation-in-frequency recursion, see Bernstein, "The
tangent FFT", 2007, sections 2-3; for w = i, Nussbaumer, "Fast Fourier Transform and Convolution
Algorithms", 1982, and Bernstein, "Multidigit multiplication for mathematicians", 2001, section 6.)

**Rows.** A complex number takes a row of a buffer: a vector of real parts and one of imaginary parts.
Modulo z^N - i there are N rows. Modulo z^N - 1 real signals stay real where the root is real, and need no
partner where it is not: its conjugate's remainder is the conjugate. So N even numbers take N / 2 rows, half
the work:

- a *real node* z^(2q) - 1 keeps its coefficients c as rows (c[n], c[n + q]), n < q;
- z^(2q) + 1 = (z^q - i)(z^q + i): of the pair only the remainder modulo z^q - i is kept, which is
  c[n] + i c[n + q]: a row that needs no arithmetic at all;
- of z^(4q) + 1, the remainders modulo z^q - e^(i pi / 4) and z^q + e^(i pi / 4); of the third and fifth
  roots of one, those in the upper half plane.

A real step of radix r turns r rows, at a distance of q = rows / r, into q rows of a smaller real node and
complex nodes: radix 2 one, of q rows modulo z^q - i; radix 4 the same and two from z^(4q) + 1; radix 3 one
of 2q rows, radix 5 two. The chain ends with one row, the remainder (c[0], c[1]) modulo z^2 - 1, which is
multiplied as it is.

**Order.** A plan is the tree written out as lists of instructions. The *top*, its first step, touches every row,
and is taken on the way from the tensors where it can be; each of the subtrees below is then worked off depth
first, so that it is finished while it lies in a near cache. (Two steps at the top at once, a few columns at a
time so that large buffers are passed over once less, as in the four-step order of Bailey, "FFTs in external or
hierarchical memory", 1990, were measured to gain nothing up to 65,536 rows: the buffer stays in the last cache,
and what takes the time is elsewhere.)
"""

import cmath
import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
BLOCKS = (1, 2, 4, 16, BLOCK)
"""Subtrees of these sizes are one instruction; their rows fit the first-level cache."""
NODE_CONSTANTS = 8
"""Numbers per node in the table of constants: cos and sin of up to four powers, whatever the radix."""

DOWN, UP, REAL_DOWN, REAL_UP, BLOCK_OF, REAL_LEAF = range(6)
"""Kinds of instruction; a row of the program is (kind, radix or block size, first row, distance of the rows
that meet, index of its constants)."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A tree as a program.

    ``rows`` of a buffer. ``top`` int64 (1, 5), or (0, 5) where the whole tree is one block: the first step down,
    which is undone last. ``inner`` int64 (instructions, 5): the rest, see DOWN and its like above. ``constants``
    float64, see ``node_constants``. ``first``: the radix of the first step, 0 if there is none.
    """

    rows: int
    top: NDArray[np.int64]
    inner: NDArray[np.int64]
    constants: NDArray[np.float64]
    first: int


def right_angle_plan(size: int) -> Plan:
    """The plan for z^size - i; size = 2^a 3^b 5^c."""
    writer = _Writer()
    writer.complex_node(0, size, 0.25)
    return writer.plan(size)


def circular_plan(size: int) -> Plan:
    """The plan for real signals modulo z^size - 1; size = 2^a 3^b 5^c, and even."""
    assert size % 2 == 0
    rows = size // 2
    writer = _Writer()
    writer.real_node(0, rows)
    return writer.plan(rows)


class _Writer:
    """Writes a tree down, depth first."""

    def __init__(self) -> None:
        self.top: list[tuple[int, int, int, int, int]] = []
        self.inner: list[tuple[int, int, int, int, int]] = []
        self.constants = array(
            "d"
        )  # 5 numbers for each of the size, which as Python's would take four times the memory

    def plan(self, rows: int) -> Plan:
        # Never empty, so that every plan's table is of one type.
        self.constants.extend([0.0] * NODE_CONSTANTS)
        constants = np.frombuffer(self.constants, np.float64)
        return Plan(
            rows=rows,
            top=np.array(self.top, np.int64).reshape(-1, 5),
            inner=np.array(self.inner, np.int64),
            constants=constants,
            first=self.top[0][1] if self.top else 0,
        )

    def complex_node(self, row: int, rows: int, turns: float) -> None:
        """z^rows - e^(2 pi i turns), in the rows from ``row`` on."""
        first = len(self.constants)
        # In a buffer, every 64 rows are followed by a free one: a block's rows may not lie on both sides.
        # (Those of 16 and more begin at multiples of half their size, and are worked off by fours.)
        if rows in BLOCKS and row % min(rows, 4) == 0:
            self.constants.extend(_block_constants(rows, turns))
            self.inner.append((BLOCK_OF, rows, row, 0, first))
            return
        radix = _radix(rows)
        apart = rows // radix
        self.constants.extend(node_constants(radix, turns))
        self._down(DOWN, radix, row, apart, first)
        for k, child in enumerate(children(radix, turns)):
            self.complex_node(row + k * apart, apart, child)
        self._up(UP, radix, row, apart, first)

    def real_node(self, row: int, rows: int) -> None:
        """z^(2 rows) - 1, of real signals, in the rows from ``row`` on."""
        if rows == 1:
            self.inner.append((REAL_LEAF, 1, row, 0, 0))
            return
        radix = _real_radix(rows)
        apart = rows // radix
        self._down(REAL_DOWN, radix, row, apart, 0)
        self.real_node(row, apart)
        below = {
            2: [(1, 1, 1 / 4)],
            3: [(1, 2, 1 / 3)],
            4: [(1, 1, 1 / 4), (2, 1, 1 / 8), (3, 1, 5 / 8)],
            5: [(1, 2, 1 / 5), (3, 2, 2 / 5)],
        }[radix]
        for place, width, turns in below:
            self.complex_node(row + place * apart, width * apart, turns)
        self._up(REAL_UP, radix, row, apart, 0)

    def _down(self, kind: int, radix: int, row: int, apart: int, first: int) -> None:
        at_root = not self.top and not self.inner
        (self.top if at_root else self.inner).append((kind, radix, row, apart, first))

    def _up(self, kind: int, radix: int, row: int, apart: int, first: int) -> None:
        if self.top[0][2:] != (row, apart, first):
            self.inner.append((kind, radix, row, apart, first))


def children(radix: int, turns: float) -> list[float]:
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
    """Odd factors first, where the passes are long; one step of radix 2, where the cache is near."""
    for odd in (5, 3):
        if rows % odd == 0:
            return odd
    twos = rows.bit_length() - 1
    return 2 if twos % 2 and rows <= 2 * BLOCK else 4


def _real_radix(rows: int) -> int:
    return 4 if rows % 4 == 0 and rows % 3 and rows % 5 else _radix(rows)


def _block_constants(rows: int, turns: float) -> Iterator[float]:
    """Those of a whole subtree of radix 4 (2 for two rows), each node before its children."""
    if rows == 1:
        return
    radix = min(rows, 4)
    yield from node_constants(radix, turns)
    for child in children(radix, turns):
        yield from _block_constants(rows // radix, child)
