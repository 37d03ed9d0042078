"""Subtrees in the nearest cache, and the work at their leaves: the products of spectra."""

from collections.abc import Callable
from typing import Any, NamedTuple

from globalconv.ops.fused_cpu import roles
from globalconv.ops.fused_cpu.arithmetic import conjugate_times, down2, down4, real_times, times, up2, up4
from globalconv.ops.fused_cpu.jit import helper, inline, not_inlined, variable
from globalconv.ops.fused_cpu.passes import DOWN_THE_TREE, UP_THE_TREE, pass4, step
from globalconv.ops.fused_cpu.rows import load_neighbours, row_at, store_neighbours
from globalconv.ops.fused_cpu.transform import (
    BLOCK_OF,
    NODE_CONSTANTS,
    REAL_LEAF,
    REAL_UP,
    SIXTEEN_CONSTANTS,
    UP,
)
from globalconv.ops.fused_cpu.vectors import on_registers, prefetch, splat_constants


class Beside(NamedTuple):
    """The buffers beside the one that is worked on; each is used only where the role asks for it."""

    other: int  # the other signal's spectrum
    filter: int  # the filter's
    sums: int  # that of the taps' gradient


class Ahead(NamedTuple):
    """A signal that is wanted next, and its gate; address 0: none. ``half``: how far a row's second position is."""

    at: int
    step: int
    half: int
    gate_at: int
    gate_step: int
    gate_half: int


Numbers = Any  # a tuple of real and imaginary parts, in turn


# --- what happens at the leaves -----------------------------------------------------------------------


def _leaves(
    rows: int,
    down: Callable[[Numbers, Any], Numbers],
    up: Callable[[Numbers, Any], Numbers],
    product: Callable[..., Numbers] = times,
    adjoint: Callable[..., Numbers] = conjugate_times,
) -> Any:
    """A function for kernels: a subtree of ``rows`` neighbours, down, treated and up, all in registers.

    The spectrum is multiplied by the filter's, or by its conjugate, or correlated with the other signal's. The
    gradient of the taps gathers conj(x) dy; that of the input is conj(h) dy: conjugates (adjoints), because
    the way down is, up to a factor, unitary.
    """

    def each(function: Callable[..., Numbers], a: Numbers, b: Numbers) -> Numbers:
        pairs = ((a[i], a[i + 1], b[i], b[i + 1]) for i in range(0, 2 * rows, 2))
        return tuple(part for four in pairs for part in function(*four))

    def gathered(sums: Numbers, other: Numbers, x: Numbers) -> Numbers:
        return tuple(old + new for old, new in zip(sums, each(adjoint, other, x), strict=True))

    load, store = load_neighbours(rows), store_neighbours(rows)
    go_down, go_up = on_registers(2 * rows, down), on_registers(2 * rows, up)
    multiply = on_registers(2 * rows, lambda h, x: each(product, h, x))
    multiply_adjoint = on_registers(2 * rows, lambda h, x: each(adjoint, h, x))
    gather = on_registers(2 * rows, gathered)

    @inline
    def treat(constants: Any, first: int, buffer: int, beside: Any, row: int, role: int) -> None:
        c = splat_constants(constants, first)
        p = row_at(buffer, row)
        x = load(constants, p)
        if role & roles.GO_DOWN:
            x = go_down(x, c)
        if role & roles.CORRELATE:
            sums, other = row_at(beside.sums, row), row_at(beside.other, row)
            store(gather(load(constants, sums), load(constants, other), x), sums)
        if role & roles.TIMES:
            x = multiply(load(constants, row_at(beside.filter, row)), x)
        elif role & roles.TIMES_CONJUGATE:
            x = multiply_adjoint(load(constants, row_at(beside.filter, row)), x)
        if role & roles.GO_UP:
            x = go_up(x, c)
        store(x, p)

    return treat


def _stay(x: Numbers, c: Any) -> Numbers:
    """A single row has no step of its own."""
    return x


_leaf, _two_leaves, _four_leaves = _leaves(1, _stay, _stay), _leaves(2, down2, up2), _leaves(4, down4, up4)
_real_leaf = _leaves(1, _stay, _stay, real_times, real_times)


# --- subtrees -----------------------------------------------------------------------------------------


@helper
def subtrees(constants: Any, program: Any, buffer: int, beside: Any, role: int, ahead: Any) -> None:
    """Work off ``program`` (a plan's ``inner``): down, the work at the leaves, and up, as ``role`` says.

    At every fourth row its part of ``ahead`` is asked for, so that memory is read all the time, and not only between
    two signals.
    """
    not_inlined()
    for k in range(program.shape[0]):
        instruction = program[k]
        kind, row, first = instruction.kind, instruction.row, instruction.constants
        if kind == BLOCK_OF:
            _block(constants, first, buffer, beside, row, instruction.size, role, ahead)
        elif kind == REAL_LEAF:
            _real_leaf(constants, first, buffer, beside, row, role)
        else:
            up = variable(UP_THE_TREE if kind in (UP, REAL_UP) else DOWN_THE_TREE)
            if role & (roles.GO_UP if up else roles.GO_DOWN):
                step(constants, instruction, buffer, up)


@helper
def _block(
    constants: Any, first: int, buffer: int, beside: Any, row: int, rows: int, role: int, ahead: Any
) -> None:
    """A whole subtree of 64, 16 or 4 rows of radix 4, of two rows, or a single one."""
    not_inlined()
    if rows == 1:
        _leaf(constants, first, buffer, beside, row, role)
        return
    if rows == 2:
        _two_leaves(constants, first, buffer, beside, row, role)
        return
    if rows == 4:
        _ask(ahead, row)
        _four_leaves(constants, first, buffer, beside, row, role)
        return
    nodes = rows // 16
    if nodes > 1:
        if role & roles.GO_DOWN:
            pass4(constants, first, buffer, row, variable(16), variable(DOWN_THE_TREE))
        first += NODE_CONSTANTS
    for k in range(nodes):
        at = first + k * SIXTEEN_CONSTANTS
        _sixteen_leaves(constants, at, buffer, beside, row + 16 * k, variable(4), role, ahead)
    if nodes > 1 and role & roles.GO_UP:
        pass4(constants, first - NODE_CONSTANTS, buffer, row, variable(16), variable(UP_THE_TREE))


@helper
def _sixteen_leaves(
    constants: Any, first: int, buffer: int, beside: Any, row: int, fours: int, role: int, ahead: Any
) -> None:
    """Four rows times ``fours``, which is 4: unknown to the compiler, or it would write the loop out."""
    not_inlined()
    if role & roles.GO_DOWN:
        pass4(constants, first, buffer, row, fours, variable(DOWN_THE_TREE))
    for k in range(fours):
        _ask(ahead, row + 4 * k)
        _four_leaves(constants, first + (1 + k) * NODE_CONSTANTS, buffer, beside, row + 4 * k, role)
    if role & roles.GO_UP:
        pass4(constants, first, buffer, row, fours, variable(UP_THE_TREE))


@inline
def _ask(ahead: Any, row: int) -> None:
    if ahead.at:
        _ask_for_four(ahead.at + row * ahead.step, ahead.step, ahead.half)
        if ahead.gate_at:
            _ask_for_four(ahead.gate_at + row * ahead.gate_step, ahead.gate_step, ahead.gate_half)


@inline
def _ask_for_four(at: int, step: int, half: int) -> None:
    for j in range(4):
        prefetch(at + j * step)
    if half:
        for j in range(4):
            prefetch(at + half + j * step)
