"""Subtrees in the nearest cache, and the work at their leaves: the products of spectra."""

from typing import Any

from globalconv.ops.fused_cpu.arithmetic import conjugate_times, down2, down4, fma, times, up2, up4
from globalconv.ops.fused_cpu.jit import helper, inline, not_inlined, variable
from globalconv.ops.fused_cpu.passes import DOWN_THE_TREE, UP_THE_TREE, pass4, step
from globalconv.ops.fused_cpu.rows import (
    ROW,
    load_2_rows,
    load_4_rows,
    load_row,
    row_at,
    store_2_rows,
    store_4_rows,
    store_row,
)
from globalconv.ops.fused_cpu.transform import BLOCK_OF, NODE_CONSTANTS, REAL_LEAF, REAL_UP, UP
from globalconv.ops.fused_cpu.vectors import on_registers, prefetch, splat_constants

# What is done on the way, as a sum of:
GO_DOWN, TIMES, TIMES_CONJUGATE, CORRELATE, GO_UP = 1, 2, 4, 8, 16

# The buffers beside the one that is worked on, as a tuple; each is used only where the role asks for it.
OTHER, FILTER, SUMS = 0, 1, 2  # the other signal's spectrum, the filter's, and the taps' gradient

_down2, _up2 = on_registers(4, down2), on_registers(4, up2)
_down4, _up4 = on_registers(8, down4), on_registers(8, up4)
_times = on_registers(2, lambda h, x: times(*h, *x))
_conjugate_times = on_registers(2, lambda h, x: conjugate_times(*h, *x))
_gathered = on_registers(2, lambda sums, o, x: _plus(sums, conjugate_times(*o, *x)))


def _plus(a: Any, b: Any) -> Any:
    return tuple(one + other for one, other in zip(a, b, strict=True))


def _times_real(h: Any, x: Any) -> Any:
    """Modulo z^2 - 1, (a + b z)(c + d z) = (a c + b d) + (a d + b c) z; the adjoint is the same."""
    (a, b), (c, d) = h, x
    return fma(a, c, b * d), fma(a, d, b * c)


_real_product = on_registers(2, _times_real)
_real_gathered = on_registers(2, lambda sums, o, x: _plus(sums, _times_real(o, x)))


@helper
def subtrees(
    constants: Any, program: Any, buffer: int, beside: Any, role: int, ahead: Any, ahead_too: Any
) -> None:
    """Work off ``program`` (a plan's ``inner``): down, the work at the leaves, and up, as ``role`` says.

    ``ahead`` (address, step, to the second half) and ``ahead_too`` are signals that are wanted next: at
    every fourth row their part of it is asked for, so that memory is read all the time, and not only
    between two signals. 0: nothing is asked for.
    """
    not_inlined()
    for k in range(program.shape[0]):
        kind, size, row, first = program[k, 0], program[k, 1], program[k, 2], program[k, 4]
        if kind == BLOCK_OF:
            _block(constants, first, buffer, beside, row, size, role, ahead, ahead_too)
        elif kind == REAL_LEAF:
            _real_leaf(constants, buffer, beside, row, role)
        else:
            up = variable(UP_THE_TREE if kind == UP or kind == REAL_UP else DOWN_THE_TREE)
            if role & (GO_UP if up else GO_DOWN):
                step(constants, program[k], buffer, variable(0), program[k, 3], up)


@helper
def _block(
    constants: Any,
    first: int,
    buffer: int,
    beside: Any,
    row: int,
    rows: int,
    role: int,
    ahead: Any,
    ahead_too: Any,
) -> None:
    """A whole subtree of 64, 16 or 4 rows of radix 4, of two rows, or a single one."""
    not_inlined()
    if rows == 1:
        p = row_at(buffer, row)
        x = _at_leaf(constants, load_row(constants, p), _leaf_addresses(beside, row), variable(0), role)
        store_row(x, p)
        return
    if rows == 2:
        _two_leaves(constants, first, buffer, beside, row, role)
        return
    if rows == 4:
        _four_leaves(constants, first, buffer, beside, row, role, ahead, ahead_too)
        return
    nodes = rows // 16
    if nodes > 1:
        if role & GO_DOWN:
            _whole_pass4(constants, first, buffer, row, variable(16), variable(DOWN_THE_TREE))
        first += NODE_CONSTANTS
    for k in range(nodes):
        _sixteen_leaves(
            constants,
            first + 5 * k * NODE_CONSTANTS,
            buffer,
            beside,
            row + 16 * k,
            variable(4),
            role,
            ahead,
            ahead_too,
        )
    if nodes > 1 and role & GO_UP:
        _whole_pass4(constants, first - NODE_CONSTANTS, buffer, row, variable(16), variable(UP_THE_TREE))


@inline
def _whole_pass4(constants: Any, first: int, buffer: int, row: int, quarter: int, up: int) -> None:
    pass4(constants, first, buffer, row, quarter, variable(0), quarter, up)


@helper
def _sixteen_leaves(
    constants: Any,
    first: int,
    buffer: int,
    beside: Any,
    row: int,
    fours: int,
    role: int,
    ahead: Any,
    ahead_too: Any,
) -> None:
    """Four rows times ``fours``, which is 4: unknown to the compiler, or it would write the loop out."""
    not_inlined()
    if role & GO_DOWN:
        _whole_pass4(constants, first, buffer, row, fours, variable(DOWN_THE_TREE))
    for k in range(fours):
        _four_leaves(
            constants,
            first + (1 + k) * NODE_CONSTANTS,
            buffer,
            beside,
            row + 4 * k,
            role,
            ahead,
            ahead_too,
        )
    if role & GO_UP:
        _whole_pass4(constants, first, buffer, row, fours, variable(UP_THE_TREE))


@inline
def _four_leaves(
    constants: Any, first: int, buffer: int, beside: Any, row: int, role: int, ahead: Any, ahead_too: Any
) -> None:
    """A subtree of four rows: down, the work at the leaves, and up, without leaving the registers."""
    if ahead[0]:
        _ask_for_four(ahead, row)
        if ahead_too[0]:
            _ask_for_four(ahead_too, row)
    c = splat_constants(constants, first)
    p = row_at(buffer, row)
    leaf = _leaf_addresses(beside, row)
    x = load_4_rows(constants, p, p + ROW, p + 2 * ROW, p + 3 * ROW)
    if role & GO_DOWN:
        x = _down4(x, c)
    if role & (TIMES | TIMES_CONJUGATE | CORRELATE):
        x0 = _at_leaf(constants, (x[0], x[1]), leaf, variable(0), role)
        x1 = _at_leaf(constants, (x[2], x[3]), leaf, variable(ROW), role)
        x2 = _at_leaf(constants, (x[4], x[5]), leaf, variable(2 * ROW), role)
        x3 = _at_leaf(constants, (x[6], x[7]), leaf, variable(3 * ROW), role)
        x = x0 + x1 + x2 + x3
    if role & GO_UP:
        x = _up4(x, c)
    store_4_rows(x, p, p + ROW, p + 2 * ROW, p + 3 * ROW)


@inline
def _two_leaves(constants: Any, first: int, buffer: int, beside: Any, row: int, role: int) -> None:
    c = splat_constants(constants, first)
    p = row_at(buffer, row)
    leaf = _leaf_addresses(beside, row)
    x = load_2_rows(constants, p, p + ROW)
    if role & GO_DOWN:
        x = _down2(x, c)
    x0 = _at_leaf(constants, (x[0], x[1]), leaf, variable(0), role)
    x1 = _at_leaf(constants, (x[2], x[3]), leaf, variable(ROW), role)
    x = x0 + x1
    if role & GO_UP:
        x = _up2(x, c)
    store_2_rows(x, p, p + ROW)


@inline
def _leaf_addresses(beside: Any, row: int) -> Any:
    return row_at(beside[0], row), row_at(beside[1], row), row_at(beside[2], row)


@inline
def _at_leaf(kind: Any, x: Any, leaf: Any, offset: int, role: int) -> Any:
    """A row of the spectrum: times the filter's, or its conjugate, or correlated with the other signal's.

    The gradient of the taps gathers conj(x) dy; that of the input is conj(h) dy: conjugates, because
    the way down is, up to a factor, unitary.
    """
    if role & CORRELATE:
        sums = leaf[SUMS] + offset
        store_row(_gathered(load_row(kind, sums), load_row(kind, leaf[OTHER] + offset), x), sums)
    if role & TIMES:
        x = _times(load_row(kind, leaf[FILTER] + offset), x)
    elif role & TIMES_CONJUGATE:
        x = _conjugate_times(load_row(kind, leaf[FILTER] + offset), x)
    return x


@helper
def _real_leaf(constants: Any, buffer: int, beside: Any, row: int, role: int) -> None:
    not_inlined()
    p = row_at(buffer, row)
    leaf = _leaf_addresses(beside, row)
    x = load_row(constants, p)
    if role & CORRELATE:
        sums = leaf[SUMS]
        store_row(_real_gathered(load_row(constants, sums), load_row(constants, leaf[OTHER]), x), sums)
    if role & (TIMES | TIMES_CONJUGATE):
        store_row(_real_product(load_row(constants, leaf[FILTER]), x), p)


@inline
def _ask_for_four(signal: Any, row: int) -> None:
    at = signal[0] + row * signal[1]
    for j in range(4):
        prefetch(at + j * signal[1])
    if signal[2]:
        for j in range(4):
            prefetch(at + signal[2] + j * signal[1])
