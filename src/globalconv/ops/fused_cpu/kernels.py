"""The kernel: the way of a range of tiles, from the tensors through the tree and back.

A tile is as many channels as a vector has lanes. Its way: load the signals (with the top of the tree), go
down the subtrees, multiply by the filter's spectrum and come up again, subtree by subtree, and store (with
the top). The filter's spectrum is made once per tile and serves the whole batch.
"""

from typing import Any

import numba
import numpy as np

from globalconv.ops.fused_cpu.jit import (
    inline,
    kernel,
    machine_code,
    pointer,
    take_number,
    variable,
)
from globalconv.ops.fused_cpu.leaves import CORRELATE, GO_DOWN, GO_UP, TIMES, TIMES_CONJUGATE, subtrees
from globalconv.ops.fused_cpu.rows import buffer_bytes, row_at, store_row
from globalconv.ops.fused_cpu.tiles import load_filter, load_signal, store_filter_gradient, store_result
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES, splat, store, zero

# What a role may ask for beside what ``leaves`` does:
RECOMPUTE = 32  # the other signal comes up too, times the filter: the convolution, for the gate's gradient
SPECTRA_KEPT = 64  # the filter's spectra lie in memory of their own, and are there
SPECTRA_TO_KEEP = 128  # ... and are to be made there

# A call is written on one sheet of int64: first these numbers ...
(
    ROWS,           # of the plan; and then what else it and the problem hold, tables by address and rows
    LENGTH,
    CIRCULAR,
    TOP_IN_PASSING, # whether the first step of the plan, of radix 4, is taken while loading and storing
    CONSTANTS_AT,
    TOP_AT,
    TOP_ROWS,
    INNER_AT,
    INNER_ROWS,
    PLACES_AT,
    PLACES_ROWS,
    ROLE,
    CHANNELS,
    BATCH,
    PER_FILTER,     # channels that share a filter
    PARTS,          # of the batch
    STREAMING,      # whether the results go past the caches
    APART,          # bytes from buffer to buffer
    UNITS,          # of work: tiles times parts
    SHARES,         # into which they are divided
    NEXT_SHARE,     # that nobody has taken; counted up by whoever takes it
    SCRATCH_AT,
    SCRATCH_APART,  # from share to share
    FIRST_TENSOR,
) = range(24)  # fmt: skip
# ... and then the tensors, 3 numbers each: address, stride of the batch, stride of the length, in bytes. For the
# taps and the skip weights: address, stride of the filters, 0; for the taps' gradient: address, stride of the
# batch's parts, of the channels; for the spectra: address, stride of the tiles, 0. Address 0: not given.
SIGNAL, SIGNAL_GATE, OTHER, OTHER_GATE, RESULT, RESULT_GATE, SECOND, THIRD, TAPS, SKIP, GRADIENT, SPECTRA = (
    range(12)
)
SHEET = FIRST_TENSOR + 3 * 12

TURNED_AT = 8 * REGISTER_BYTES
ONES_AT = TURNED_AT + REGISTER_BYTES * REGISTER_BYTES
BUFFERS_AT = ONES_AT + REGISTER_BYTES
"""Where in the scratch memory things lie; a table of addresses comes first."""


def scratch_bytes(rows: int, buffers: int) -> int:
    """How much scratch memory a thread needs: for 2 buffers, or 4 where the taps' or a gate's gradient is wanted."""
    return BUFFERS_AT + buffers * buffer_bytes(rows)


@inline
def _signal(tensor: Any, gate: Any, gated: Any, k: int, at: int, ones: int) -> Any:
    """Row k of the batch, for ``tiles``; ``at``: the tile's channel, in bytes."""
    return (tensor[0] + k * tensor[1] + at, tensor[2]) + _gate(gate, gated, k, at, ones)  # noqa: RUF005, Numba


@inline
def _gate(gate: Any, gated: Any, k: int, at: int, ones: int) -> Any:
    if gated is None:
        return None, 0
    if gate[0] == 0:
        return ones, 0
    return gate[0] + k * gate[1] + at, gate[2]


@inline
def _second_result(tensor: Any, gate: Any, k: int, at: int) -> Any:
    """The gradient of the inner gate, which goes beside that of x, or nothing."""
    if tensor[0] == 0:
        return variable(0), variable(0), variable(0), variable(0)
    return tensor[0] + k * tensor[1] + at, tensor[2], gate[0] + k * gate[1] + at, gate[2]


@inline
def _ahead(tensor: Any, k: int, at: int, half: int) -> Any:
    """A signal that is wanted next, for ``subtrees``; ``half`` the rows after which it has a second half."""
    if tensor[0] == 0:
        return variable(0), variable(0), variable(0)
    return tensor[0] + k * tensor[1] + at, tensor[2], half * tensor[2]


@inline
def _integers(address: int, rows: int, columns: int) -> Any:
    return numba.carray(pointer(address), (rows, columns), np.int64)


def trial() -> tuple[bytes, ...]:
    """The machine code of a kernel that takes no time to compile: it writes a register full of ones."""

    def work_through(at: int) -> None:
        store(at, splat(numba.carray(pointer(at), (1,), np.float32), 1.0))

    return machine_code(kernel(work_through))


def compiled(dtype: type[np.floating[Any]], gated: int | None) -> tuple[bytes, ...]:
    """The machine code of ``work_through`` for signals of ``dtype``; ``gated``: None without gates, 0 with them."""

    def work_through(sheet_at: int) -> None:
        """Work off shares of a call, as long as there are any that no other thread has taken.

        A share is a range of units; a unit is a tile of channels in one part of the batch. Each SIGNAL goes
        down the tree, is treated there as ROLE says, comes up if it says so, and goes to RESULT. Where the
        role has CORRELATE or RECOMPUTE, the OTHER signals go down beside them; GRADIENT (parts, channels,
        num_taps) gets the taps' gradient: a sum over each part of the batch, not over channels that share a
        filter. One kernel for all directions: the compiler works through all of this once per kernel.
        """
        sheet = _integers(sheet_at, 1, SHEET)[0]
        tensors = _integers(sheet_at + FIRST_TENSOR * sheet.itemsize, 12, 3)
        constants = numba.carray(pointer(sheet[CONSTANTS_AT]), (1,), dtype)
        top = _integers(sheet[TOP_AT], sheet[TOP_ROWS], 5)
        inner = _integers(sheet[INNER_AT], sheet[INNER_ROWS], 5)
        places = _integers(sheet[PLACES_AT], sheet[PLACES_ROWS], 6)
        rows, circular, role = sheet[ROWS], sheet[CIRCULAR], sheet[ROLE]
        channels, batch, parts, share = sheet[CHANNELS], sheet[BATCH], sheet[PARTS], sheet[PER_FILTER]
        shape = (rows, sheet[LENGTH], circular, sheet[TOP_IN_PASSING])
        item = constants.itemsize
        lanes = REGISTER_BYTES // item
        nothing = zero(constants)
        two = role & (CORRELATE | RECOMPUTE)
        half = rows if circular else 0
        signal, signal_gate = tensors[SIGNAL], tensors[SIGNAL_GATE]
        comes_first, its_gate = signal, signal_gate
        if two:
            comes_first, its_gate = tensors[OTHER], tensors[OTHER_GATE]
        quiet = (variable(0), variable(0), variable(0))
        down, up, convolve = variable(GO_DOWN), variable(GO_UP), variable(TIMES | GO_UP)
        while True:
            my = take_number(sheet_at + NEXT_SHARE * sheet.itemsize)
            if my >= sheet[SHARES]:
                return
            first_unit = sheet[UNITS] * my // sheet[SHARES]
            last_unit = sheet[UNITS] * (my + 1) // sheet[SHARES]
            scratch = sheet[SCRATCH_AT] + my * sheet[SCRATCH_APART]
            table, turned, ones = scratch, scratch + TURNED_AT, scratch + ONES_AT
            store(ones, splat(constants, 1.0))
            buffer, apart = scratch + BUFFERS_AT, sheet[APART]
            spectrum, sums, other = buffer + apart, buffer + 2 * apart, buffer + 3 * apart
            for unit in range(first_unit, last_unit):
                tile, part = unit // parts, unit % parts
                channel = min(tile * lanes, channels - lanes)
                at = channel * item
                aligned = sheet[STREAMING] != 0 and channel == tile * lanes
                first, last = batch * part // parts, batch * (part + 1) // parts
                if role & (SPECTRA_KEPT | SPECTRA_TO_KEEP):
                    spectrum = tensors[SPECTRA, 0] + tile * tensors[SPECTRA, 1]
                beside = (other, spectrum, sums)
                if role & (TIMES | TIMES_CONJUGATE | SPECTRA_TO_KEEP) and not role & SPECTRA_KEPT:
                    taps = (tensors[TAPS, 0], tensors[TAPS, 1], tensors[SKIP, 0])
                    load_filter(constants, top, rows, spectrum, places, taps, share, channel, table, turned)
                    ahead = _ahead(comes_first, first, at, half)
                    subtrees(constants, inner, spectrum, beside, down, ahead, quiet)
                if role & CORRELATE:
                    for n in range(rows):
                        store_row((nothing, nothing), row_at(sums, n))
                for k in range(first, last):
                    next_k, next_at = k + 1, at
                    if next_k == last:
                        next_unit = min(unit + 1, last_unit - 1)
                        next_k = batch * (next_unit % parts) // parts
                        next_at = min(next_unit // parts * lanes, channels - lanes) * item
                    if two:
                        source = _signal(tensors[OTHER], tensors[OTHER_GATE], gated, k, at, ones)
                        load_signal(constants, top, shape, other, source)
                        ahead, ahead_too = _ahead(signal, k, at, half), _ahead(signal_gate, k, at, half)
                        subtrees(constants, inner, other, beside, down, ahead, ahead_too)
                    source = _signal(signal, signal_gate, gated, k, at, ones)
                    load_signal(constants, top, shape, buffer, source)
                    ahead = _ahead(comes_first, next_k, next_at, half)
                    ahead_too = _ahead(its_gate, next_k, next_at, half)
                    subtrees(constants, inner, buffer, beside, role, ahead, ahead_too)
                    if role & GO_UP:
                        to = _signal(tensors[RESULT], tensors[RESULT_GATE], gated, k, at, ones)
                        second = _second_result(tensors[SECOND], tensors[OTHER], k, at)
                        store_result(constants, top, shape, buffer, to + second, aligned)
                    if role & RECOMPUTE:
                        subtrees(constants, inner, other, beside, convolve, quiet, quiet)
                        to = _signal(tensors[THIRD], signal, gated, k, at, ones)
                        second = (variable(0), variable(0), variable(0), variable(0))
                        store_result(constants, top, shape, other, to + second, aligned)
                if role & CORRELATE:
                    subtrees(constants, inner, sums, beside, up, quiet, quiet)
                    gradient = (tensors[GRADIENT, 0] + part * tensors[GRADIENT, 1], tensors[GRADIENT, 2])
                    store_filter_gradient(
                        constants, top, rows, sums, places, gradient, channel, table, turned
                    )

    return machine_code(kernel(work_through))
