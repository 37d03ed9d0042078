"""The kernels' executable specification: a whole call, worked off by NumPy, equal to the compiled code to the last bit.

It reads the same problem (``problem``), the same program (``transform``) and the same arithmetic (``arithmetic``), and
says with them what a kernel does: what is done on the way to be fast (tiles, registers, threads, prefetches, steps
taken while loading) is left out, because it changes no number. Nothing but tests calls it.

A buffer is an array (rows, 2, ...): real and imaginary parts of each row, and behind them whatever goes the same way,
here (B, D). Signals and gates are (B, L, D), taps (D, K), skip (D,), all of one dtype.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.ops.fused_cpu import arithmetic, roles
from globalconv.ops.fused_cpu.problem import Problem, Segment, problem
from globalconv.ops.fused_cpu.rounded import Numbers
from globalconv.ops.fused_cpu.transform import (
    BLOCK_OF,
    DOWN,
    NODE_CONSTANTS,
    REAL_DOWN,
    REAL_LEAF,
    REAL_UP,
    UP,
    Instruction,
    Node,
    Plan,
    plan_of,
)
from globalconv.ops.interface import Mode

Array = NDArray[Any]
NAMES = {DOWN: "down", UP: "up", REAL_DOWN: "real_down", REAL_UP: "real_up"}
"""Of the functions in ``arithmetic``, by the kind of instruction; the radix follows."""
FIRST, SECOND = np.s_[:, 0], np.s_[:, 1]
"""The real and the imaginary parts of a buffer."""


# --- the program --------------------------------------------------------------------------------------


def work_off(
    plan: Plan, buffer: Array, role: int, *, other: Any = None, spectrum: Any = None, sums: Any = None
) -> None:
    """Down the tree, the work at the leaves, and up, as ``role`` says, in the buffer's own memory.

    The other buffers: TIMES and its like multiply by ``spectrum``, and CORRELATE adds conj(other) buffer to ``sums``.
    """
    top = [Instruction(*numbers) for numbers in plan.top.tolist()]
    undone = [step._replace(kind=UP if step.kind == DOWN else REAL_UP) for step in top]
    inner = [Instruction(*numbers) for numbers in plan.inner.tolist()]
    for instruction in (*top, *inner, *undone):
        if instruction.kind in (DOWN, REAL_DOWN):
            if role & roles.GO_DOWN:
                _step(plan, buffer, instruction)
        elif instruction.kind in (UP, REAL_UP):
            if role & roles.GO_UP:
                _step(plan, buffer, instruction)
        else:
            _subtree(plan, buffer, instruction, role, other, spectrum, sums)


def _step(plan: Plan, buffer: Array, step: Instruction) -> None:
    """Rows at a distance meet: rows n, n + apart, ... of the node, for all n < apart at once."""
    function = getattr(arithmetic, f"{NAMES[step.kind]}{step.size}")
    rows = buffer[step.row : step.row + step.size * step.apart]
    meeting = rows.reshape(step.size, step.apart, *buffer.shape[1:])
    x = [Numbers(meeting[k, :, part].copy()) for k in range(step.size) for part in (0, 1)]
    constants = plan.constants[step.constants : step.constants + NODE_CONSTANTS]
    for place, result in enumerate(function(tuple(x), [Numbers(number) for number in constants])):
        meeting[place // 2, :, place % 2] = result.value


def _subtree(
    plan: Plan, buffer: Array, subtree: Instruction, role: int, other: Any, spectrum: Any, sums: Any
) -> None:
    steps = _steps_of(subtree)
    if role & roles.GO_DOWN:
        for step in steps:
            _step(plan, buffer, step)
    rows = np.s_[subtree.row : subtree.row + subtree.size]
    products: tuple[Any, Any] = arithmetic.times, arithmetic.conjugate_times
    if subtree.kind == REAL_LEAF:
        products = arithmetic.real_times, arithmetic.real_times
    product, adjoint = products
    if role & roles.CORRELATE:
        for k in range(buffer.shape[2]):  # one row of the batch after the other
            sums[rows] += _each(adjoint, other[rows][:, :, k : k + 1], buffer[rows][:, :, k : k + 1])
    if role & roles.TIMES:
        buffer[rows] = _each(product, spectrum[rows], buffer[rows])
    elif role & roles.TIMES_CONJUGATE:
        buffer[rows] = _each(adjoint, spectrum[rows], buffer[rows])
    if role & roles.GO_UP:
        for step in reversed(steps):
            _step(plan, buffer, step._replace(kind=UP))


def _steps_of(subtree: Instruction) -> list[Instruction]:
    """The steps down of a subtree, each node's before its children's, as its constants are."""
    steps: list[Instruction] = []

    def add(node: Node) -> None:
        if node.rows > 1:
            first = subtree.constants + len(steps) * NODE_CONSTANTS
            steps.append(Instruction(DOWN, node.radix, node.row, node.rows // node.radix, first))
            for child in node.children():
                add(child)

    if subtree.kind == BLOCK_OF:
        add(Node(subtree.row, subtree.size, 0.0))  # of whatever root: that is in the constants
    return steps


def _each(product: Any, a: Array, b: Array) -> Array:
    """Row by row, the product of two buffers."""
    parts = product(*(Numbers(of[part]) for of in (a, b) for part in (FIRST, SECOND)))
    return np.stack([part.value for part in parts], axis=1)


# --- tensors to buffers, and back ---------------------------------------------------------------------


class Interpreter:
    """A filter, and what it does to signals of one length."""

    def __init__(self, taps: Array, skip: Array | None, length: int, mode: Mode) -> None:
        self.length, self.dtype, self.num_taps = length, taps.dtype, taps.shape[1]
        self.problem: Problem = problem(mode, length, self.num_taps)
        self.circular = self.problem.root.turns is None
        plan = plan_of(self.problem.root)
        self.plan: Plan = replace(plan, constants=plan.constants.astype(self.dtype))
        self.spectrum = self._of_taps(taps, skip)
        work_off(self.plan, self.spectrum, roles.GO_DOWN)

    def convolve(self, x: Array, gate_in: Array | None, gate_out: Array | None) -> Array:
        """y = gate_out (h * u + skip u), u = gate_in x."""
        buffer = self._of_signal(_product(x, gate_in))
        work_off(self.plan, buffer, roles.GO_DOWN | roles.TIMES | roles.GO_UP, spectrum=self.spectrum)
        return _product(self._signal_of(buffer), gate_out)

    def differentiate(
        self, x: Array, gate_in: Array | None, gate_out: Array | None, dy: Array
    ) -> tuple[Array, Array, Array, Array]:
        """The gradients of <dy, y> by x, the taps (D, K), gate_in and gate_out; that of skip is the taps' at lag 0."""
        other, buffer = self._of_signal(_product(x, gate_in)), self._of_signal(_product(dy, gate_out))
        sums, spectrum = np.zeros_like(self.spectrum), self.spectrum
        work_off(self.plan, other, roles.GO_DOWN)
        role = roles.GO_DOWN | roles.CORRELATE | roles.TIMES_CONJUGATE | roles.GO_UP
        work_off(self.plan, buffer, role, other=other, spectrum=spectrum, sums=sums)
        work_off(self.plan, sums, roles.GO_UP)
        work_off(self.plan, other, roles.TIMES | roles.GO_UP, spectrum=spectrum)
        of_inner, again = self._signal_of(buffer), self._signal_of(other)
        return _product(of_inner, gate_in), self._taps_of(sums), of_inner * x, again * dy

    def _of_signal(self, signal: Array) -> Array:
        """Its second half beside the first in a circle, else alone, and zeros at the end."""
        batch, _, channels = signal.shape
        buffer = np.zeros((self.plan.rows, 2, batch, channels), self.dtype)
        along = signal.transpose(1, 0, 2)
        if self.circular:
            buffer[FIRST], buffer[SECOND] = np.split(along, 2)
        else:
            buffer[: self.length, 0] = along
        return buffer

    def _signal_of(self, buffer: Array) -> Array:
        along = np.concatenate([buffer[FIRST], buffer[SECOND]]) if self.circular else buffer[: self.length, 0]
        return along.transpose(1, 0, 2)

    def _of_taps(self, taps: Array, skip: Array | None) -> Array:
        """Each tap where the problem says, divided by the rows; the skip weights at lag 0, which is row 0."""
        buffer = np.zeros((self.plan.rows, 2, 1, len(taps)), self.dtype)
        for segment in self._segments():
            rows = np.s_[segment.row : segment.row + segment.num_taps]
            given = taps[:, segment.tap : segment.tap + segment.num_taps].T
            buffer[rows, segment.imaginary, 0] = self._scale(segment.sign) * given
        if skip is not None:
            buffer[0, 0, 0] += self._scale(1) * skip
        return buffer

    def _taps_of(self, buffer: Array) -> Array:
        """The adjoint of ``_of_taps``."""
        gradient = np.empty((buffer.shape[3], self.num_taps), self.dtype)
        for segment in reversed(self._segments()):
            rows = np.s_[segment.row : segment.row + segment.num_taps]
            taps = np.s_[segment.tap : segment.tap + segment.num_taps]
            if segment.again:
                buffer[taps, 0] -= buffer[rows, 1]
            else:
                gradient[:, taps] = (self._scale(segment.sign) * buffer[rows, segment.imaginary, 0]).T
        return gradient

    def _segments(self) -> list[Segment]:
        return [Segment(*numbers) for numbers in self.problem.segments.tolist()]

    def _scale(self, sign: int) -> Any:
        return self.dtype.type(sign / self.plan.rows)


def _product(signal: Array, gate: Array | None) -> Array:
    return signal if gate is None else signal * gate
