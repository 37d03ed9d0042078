"""The kernel: the way of a range of tiles, from the tensors through the tree and back.

A tile is as many channels as a vector has lanes. Its way: load the signals (with the top of the tree), go
down the subtrees, multiply by the filter's spectrum and come up again, subtree by subtree, and store (with
the top). The filter's spectrum is made once per tile and serves the whole batch.
"""

from typing import Any

import numba
import numpy as np

from globalconv.ops.fused_cpu import roles
from globalconv.ops.fused_cpu.jit import (
    inline,
    kernel,
    machine_code,
    pointer,
    take_number,
    variable,
)
from globalconv.ops.fused_cpu.leaves import Ahead, Beside, subtrees
from globalconv.ops.fused_cpu.problem import SEGMENT
from globalconv.ops.fused_cpu.rows import buffer_bytes, row_at, store_row
from globalconv.ops.fused_cpu.sheet import Sheet
from globalconv.ops.fused_cpu.tiles import (
    Filters,
    Shape,
    Strip,
    load_filter,
    load_signal,
    store_filter_gradient,
    store_result,
)
from globalconv.ops.fused_cpu.transform import INSTRUCTION
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES, splat, store, zero

SHEET = np.dtype(Sheet)
NEXT_SHARE_AT = Sheet.next_share.offset

TURNED_AT = 8 * REGISTER_BYTES
ONES_AT = TURNED_AT + REGISTER_BYTES * REGISTER_BYTES
BUFFERS_AT = ONES_AT + REGISTER_BYTES
"""Where in the scratch memory things lie; a table of addresses comes first."""


def scratch_bytes(rows: int, buffers: int) -> int:
    """How much scratch memory a thread needs: for 2 buffers, or 4 where the taps' or a gate's gradient is wanted."""
    return BUFFERS_AT + buffers * buffer_bytes(rows)


@inline
def _strip(signal: Any, gate: Any, gated: Any, k: int, at: int, ones: int) -> Any:
    """Row k of the batch; ``at``: the tile's channel, in bytes."""
    if gated is None:
        return Strip(signal.at + k * signal.row_step + at, signal.step, None, 0)
    if gate.at == 0:
        return Strip(signal.at + k * signal.row_step + at, signal.step, ones, 0)
    return Strip(
        signal.at + k * signal.row_step + at, signal.step, gate.at + k * gate.row_step + at, gate.step
    )


@inline
def _no_strip(gated: Any) -> Any:
    if gated is None:
        return Strip(0, 0, None, 0)
    return Strip(0, 0, 0, 0)


@inline
def _second_strip(signal: Any, gate: Any, gated: Any, k: int, at: int) -> Any:
    """The gradient of the inner gate, which goes beside that of x, or nothing."""
    if signal.at == 0:
        return _no_strip(gated)
    return _strip(signal, gate, gated, k, at, 0)


@inline
def _ahead(signal: Any, gate: Any, k: int, at: int, half: int) -> Any:
    """A signal that is wanted next; ``half`` the rows after which it has a second half."""
    if signal.at == 0:
        return Ahead(0, 0, 0, 0, 0, 0)
    first, of_gate = signal.at + k * signal.row_step + at, 0
    if gate.at:
        of_gate = gate.at + k * gate.row_step + at
    return Ahead(first, signal.step, half * signal.step, of_gate, gate.step, half * gate.step)


def trial() -> tuple[bytes, ...]:
    """The machine code of a kernel that takes no time to compile: it writes a register full of ones."""

    def work_through(at: int) -> None:
        store(at, splat(numba.carray(pointer(at), (1,), np.float32), 1.0))

    return machine_code(kernel(work_through))


def compiled(dtype: type[np.floating[Any]], gated: int | None) -> tuple[bytes, ...]:
    """The machine code of ``work_through`` for signals of ``dtype``; ``gated``: None without gates, 0 with them."""

    def work_through(sheet_at: int) -> None:
        """Work off shares of a call, as long as there are any that no other thread has taken.

        A share is a range of units; a unit is a tile of channels in one part of the batch. What happens to it is said
        in ``sheet``. The taps' gradient is a sum over each part of the batch, not over channels that share a filter.
        One kernel for all directions: the compiler works through all of this once per kernel.
        """
        sheet = numba.carray(pointer(sheet_at), (1,), SHEET)[0]
        constants = numba.carray(pointer(sheet.constants_at), (1,), dtype)
        top = numba.carray(pointer(sheet.top.at), (sheet.top.count,), INSTRUCTION)
        inner = numba.carray(pointer(sheet.inner.at), (sheet.inner.count,), INSTRUCTION)
        segments = numba.carray(pointer(sheet.segments.at), (sheet.segments.count,), SEGMENT)
        rows, role = sheet.rows, sheet.role
        channels, batch, parts = sheet.channels, sheet.batch, sheet.parts
        shape = Shape(rows, sheet.length, sheet.circular, sheet.top_in_passing)
        item = constants.itemsize
        lanes = REGISTER_BYTES // item
        nothing = zero(constants)
        two = role & (roles.CORRELATE | roles.RECOMPUTE)
        half = rows if sheet.circular else 0
        comes_first, its_gate = sheet.signal, sheet.signal_gate
        if two:
            comes_first, its_gate = sheet.other, sheet.other_gate
        quiet = Ahead(0, 0, 0, 0, 0, 0)
        down, up, convolve = (
            variable(roles.GO_DOWN),
            variable(roles.GO_UP),
            variable(roles.TIMES | roles.GO_UP),
        )
        while True:
            my = take_number(sheet_at + NEXT_SHARE_AT)
            if my >= sheet.shares:
                return
            first_unit = sheet.units * my // sheet.shares
            last_unit = sheet.units * (my + 1) // sheet.shares
            scratch = sheet.scratch_at + my * sheet.scratch_step
            table, turned, ones = scratch, scratch + TURNED_AT, scratch + ONES_AT
            store(ones, splat(constants, 1.0))
            buffer, step = scratch + BUFFERS_AT, sheet.buffer_step
            spectrum, sums, other = buffer + step, buffer + 2 * step, buffer + 3 * step
            for unit in range(first_unit, last_unit):
                tile, part = unit // parts, unit % parts
                channel = min(tile * lanes, channels - lanes)
                at = channel * item
                aligned = sheet.streaming != 0 and channel == tile * lanes
                first, last = batch * part // parts, batch * (part + 1) // parts
                if role & (roles.SPECTRA_KEPT | roles.SPECTRA_TO_KEEP):
                    spectrum = sheet.spectra_at + tile * sheet.spectra_step
                beside = Beside(other, spectrum, sums)
                if (
                    role & (roles.TIMES | roles.TIMES_CONJUGATE | roles.SPECTRA_TO_KEEP)
                    and not role & roles.SPECTRA_KEPT
                ):
                    taps = Filters(sheet.taps_at, sheet.taps_step, sheet.per_filter, table, turned)
                    load_filter(constants, top, rows, spectrum, segments, taps, sheet.skip_at, channel)
                    ahead = _ahead(comes_first, its_gate, first, at, half)
                    subtrees(constants, inner, spectrum, beside, down, ahead)
                if role & roles.CORRELATE:
                    for n in range(rows):
                        store_row((nothing, nothing), row_at(sums, n))
                for k in range(first, last):
                    next_k, next_at = k + 1, at
                    if next_k == last:
                        next_unit = min(unit + 1, last_unit - 1)
                        next_k = batch * (next_unit % parts) // parts
                        next_at = min(next_unit // parts * lanes, channels - lanes) * item
                    if two:
                        source = _strip(sheet.other, sheet.other_gate, gated, k, at, ones)
                        load_signal(constants, top, shape, other, source)
                        ahead = _ahead(sheet.signal, sheet.signal_gate, k, at, half)
                        subtrees(constants, inner, other, beside, down, ahead)
                    source = _strip(sheet.signal, sheet.signal_gate, gated, k, at, ones)
                    load_signal(constants, top, shape, buffer, source)
                    ahead = _ahead(comes_first, its_gate, next_k, next_at, half)
                    subtrees(constants, inner, buffer, beside, role, ahead)
                    if role & roles.GO_UP:
                        result = _strip(sheet.result, sheet.result_gate, gated, k, at, ones)
                        second = _second_strip(sheet.gate_in_gradient, sheet.other, gated, k, at)
                        store_result(constants, top, shape, buffer, result, second, aligned)
                    if role & roles.RECOMPUTE:
                        subtrees(constants, inner, other, beside, convolve, quiet)
                        result = _strip(sheet.gate_out_gradient, sheet.signal, gated, k, at, ones)
                        store_result(constants, top, shape, other, result, _no_strip(gated), aligned)
                if role & roles.CORRELATE:
                    subtrees(constants, inner, sums, beside, up, quiet)
                    place = sheet.gradient_at + part * sheet.gradient_part_step
                    gradient = Filters(place, sheet.gradient_step, 1, table, turned)
                    store_filter_gradient(constants, top, rows, sums, segments, gradient, channel)

    return machine_code(kernel(work_through))
