"""Between the tensors and the buffers: signals, gates, taps and their gradient; one tile of channels.

Where the plan begins (and ends) with radix 4, that step is taken on the way, in registers.
"""

from typing import Any

from globalconv.ops.fused_cpu.arithmetic import down4, eight_down, eight_up, up4
from globalconv.ops.fused_cpu.jit import helper, inline, not_inlined, variable
from globalconv.ops.fused_cpu.passes import DOWN_THE_TREE, UP_THE_TREE, step
from globalconv.ops.fused_cpu.rows import IMAG, load_4_apart, row_at, store_4_apart, store_row
from globalconv.ops.fused_cpu.vectors import (
    REGISTER_BYTES,
    gather,
    load,
    load_address,
    load_scalar,
    mul,
    on_registers,
    prefetch,
    scatter,
    splat,
    splat_constants,
    store,
    store_address,
    store_scalar,
    stream,
    sub,
    zero,
)

_down4, _up4 = on_registers(8, down4), on_registers(8, up4)
_eight_down, _eight_up = on_registers(8, eight_down), on_registers(8, eight_up)

AHEAD = 8
"""Rows between a load and its prefetch: measured best of 4, 8, 16."""

# A signal: (address, step, gate, step of the gate). A result: the same, and then a second address with a step
# and a gate of its own, 0 if there is none. A gate is None where the kernel is compiled without gates.


@inline
def _read(kind: Any, signal: Any, n: int) -> Any:
    return _times_gate(kind, load(kind, signal[0] + n * signal[1]), signal[2], n * signal[3])


@inline
def _times_gate(kind: Any, value: Any, gate: Any, offset: int) -> Any:
    if gate is None:
        return value
    return mul(value, load(kind, gate + offset))


@inline
def _write(kind: Any, result: Any, n: int, value: Any, streaming: bool) -> None:
    _put(result[0] + n * result[1], _times_gate(kind, value, result[2], n * result[3]), streaming)
    _write_second(kind, result, n, value, result[2], streaming)


@inline
def _write_second(kind: Any, result: Any, n: int, value: Any, gate: Any, streaming: bool) -> None:
    if gate is not None and result[4]:
        value = mul(value, load(kind, result[6] + n * result[7]))
        _put(result[4] + n * result[5], value, streaming)


@inline
def _put(address: int, value: Any, streaming: bool) -> None:
    if streaming:
        stream(address, value)
    else:
        store(address, value)


@inline
def _ask_ahead(signal: Any, n: int, apart: int) -> None:
    """For what ``_read`` wants in some rounds at n and the three positions after it, ``apart`` each."""
    for j in range(4):
        at = n + AHEAD + j * apart
        prefetch(signal[0] + at * signal[1])
        _ask_for_gate(signal[2], at * signal[3])


@inline
def _ask_for_gate(gate: Any, offset: int) -> None:
    if gate is not None:
        prefetch(gate + offset)


# --- signals in ---------------------------------------------------------------------------------------


@helper
def load_signal(constants: Any, top: Any, shape: Any, buffer: int, signal: Any) -> None:
    """A signal, down the top of the tree. ``shape``: rows, length, circular, fused."""
    not_inlined()
    rows, length, circular, fused = shape
    if fused and circular:
        _load_top4_real(constants, buffer, rows // 4, signal)
    elif fused:
        _load_top4(constants, buffer, rows // 4, signal)
    else:
        _load_rows(constants, buffer, rows, length, signal, circular)
        _pass_the_top(constants, top, buffer, variable(DOWN_THE_TREE))


@inline
def _pass_the_top(constants: Any, top: Any, buffer: int, way: int) -> None:
    for k in range(top.shape[0]):
        step(constants, top[k], buffer, way)


@helper
def _load_top4(constants: Any, buffer: int, quarter: int, signal: Any) -> None:
    """A signal of four quarters, with the first reduction of z^(4 quarter) - i."""
    not_inlined()
    c = splat_constants(constants, variable(0))
    i = zero(constants)
    for n in range(quarter):
        _ask_ahead(signal, n, quarter)
        r0, r1 = _read(constants, signal, n), _read(constants, signal, n + quarter)
        r2, r3 = _read(constants, signal, n + 2 * quarter), _read(constants, signal, n + 3 * quarter)
        values = _down4((r0, i, r1, i, r2, i, r3, i), c)
        store_4_apart(values, buffer, n, quarter)


@helper
def _load_top4_real(constants: Any, buffer: int, quarter: int, signal: Any) -> None:
    """A signal of eight quarters, with the first reduction of z^(8 quarter) - 1."""
    not_inlined()
    for n in range(quarter):
        m = n + 4 * quarter
        _ask_ahead(signal, n, quarter)
        _ask_ahead(signal, m, quarter)
        r0, r1 = _read(constants, signal, n), _read(constants, signal, n + quarter)
        r2, r3 = _read(constants, signal, n + 2 * quarter), _read(constants, signal, n + 3 * quarter)
        r4, r5 = _read(constants, signal, m), _read(constants, signal, m + quarter)
        r6, r7 = _read(constants, signal, m + 2 * quarter), _read(constants, signal, m + 3 * quarter)
        values = _eight_down((r0, r1, r2, r3, r4, r5, r6, r7))
        store_4_apart(values, buffer, n, quarter)


@helper
def _load_rows(
    constants: Any,
    buffer: int,
    rows: int,
    length: int,
    signal: Any,
    circular: int,
) -> None:
    """Rows from a signal: its second half beside the first in a circle, else alone, and zeros at the end."""
    not_inlined()
    nothing = zero(constants)
    for n in range(rows):
        r, i = nothing, nothing
        if circular:
            r, i = _read(constants, signal, n), _read(constants, signal, n + rows)
        elif n < length:
            r = _read(constants, signal, n)
        store_row((r, i), row_at(buffer, n))


# --- results out --------------------------------------------------------------------------------------


@helper
def store_result(constants: Any, top: Any, shape: Any, buffer: int, result: Any, streaming: bool) -> None:
    """Up the top of the tree, and out: the adjoint of ``load_signal``."""
    not_inlined()
    rows, length, circular, fused = shape
    if fused and circular:
        _store_top4_real(constants, buffer, rows // 4, result, streaming)
    elif fused:
        _store_top4(constants, buffer, rows // 4, result, streaming)
    else:
        _pass_the_top(constants, top, buffer, variable(UP_THE_TREE))
        _store_rows(constants, buffer, rows, length, result, circular, streaming)


@helper
def _store_top4(constants: Any, buffer: int, quarter: int, result: Any, streaming: bool) -> None:
    """The last step up of z^(4 quarter) - i, and its real parts."""
    not_inlined()
    c = splat_constants(constants, variable(0))
    for n in range(quarter):
        x = _up4(load_4_apart(constants, buffer, n, quarter), c)
        _write(constants, result, n, x[0], streaming)
        _write(constants, result, n + quarter, x[2], streaming)
        _write(constants, result, n + 2 * quarter, x[4], streaming)
        _write(constants, result, n + 3 * quarter, x[6], streaming)


@helper
def _store_top4_real(constants: Any, buffer: int, quarter: int, result: Any, streaming: bool) -> None:
    """The last step up of z^(8 quarter) - 1."""
    not_inlined()
    for n in range(quarter):
        m = n + 4 * quarter
        x = _eight_up(load_4_apart(constants, buffer, n, quarter))
        _write(constants, result, n, x[0], streaming)
        _write(constants, result, n + quarter, x[1], streaming)
        _write(constants, result, n + 2 * quarter, x[2], streaming)
        _write(constants, result, n + 3 * quarter, x[3], streaming)
        _write(constants, result, m, x[4], streaming)
        _write(constants, result, m + quarter, x[5], streaming)
        _write(constants, result, m + 2 * quarter, x[6], streaming)
        _write(constants, result, m + 3 * quarter, x[7], streaming)


@helper
def _store_rows(
    constants: Any,
    buffer: int,
    rows: int,
    length: int,
    result: Any,
    circular: int,
    streaming: bool,
) -> None:
    """What ``_load_rows`` put in comes out, the rest is left."""
    not_inlined()
    for n in range(rows):
        p = row_at(buffer, n)
        if circular:
            _write(constants, result, n, load(constants, p), streaming)
            _write(constants, result, n + rows, load(constants, p + IMAG), streaming)
        elif n < length:
            _write(constants, result, n, load(constants, p), streaming)


# --- the filter in, its gradient out ------------------------------------------------------------------


@helper
def load_filter(
    constants: Any,
    top: Any,
    rows: int,
    buffer: int,
    places: Any,
    taps: Any,
    share: int,
    channel: int,
    table: int,
    turned: int,
) -> None:
    """The taps of a tile's channels where ``places`` says, divided by the rows, down the top of the tree.

    ``taps``: address, step from filter to filter, and address of the skip weights, or 0: these are added at
    lag 0, which is row 0. ``share`` channels have a filter in common. ``table`` and ``turned``: memory for as
    many addresses, and vectors, as there are lanes.
    """
    not_inlined()
    lanes = REGISTER_BYTES // constants.itemsize
    for lane in range(lanes):
        store_address(table, lane, taps[0] + ((channel + lane) // share) * taps[1])
    _load_taps(constants, buffer, rows, places, table, turned)
    if taps[2]:
        _add_skip(constants, buffer, 1.0 / rows, taps[2] + channel * constants.itemsize)
    _pass_the_top(constants, top, buffer, variable(DOWN_THE_TREE))


@inline
def _add_skip(constants: Any, buffer: int, scale: Any, skip: int) -> None:
    item = constants.itemsize
    p = row_at(buffer, 0)
    for lane in range(REGISTER_BYTES // item):
        weight = constants.dtype.type(scale) * load_scalar(constants, skip + lane * item)
        store_scalar(constants, p + lane * item, load_scalar(constants, p + lane * item) + weight)


@helper
def _load_taps(constants: Any, buffer: int, rows: int, places: Any, table: int, turned: int) -> None:
    """Rows of taps, and zeros where no tap has its place."""
    not_inlined()
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    nothing = zero(constants)
    for n in range(rows):
        store_row((nothing, nothing), row_at(buffer, n))
    for k in range(places.shape[0]):
        tap, row, count, imaginary = places[k, 0], places[k, 1], places[k, 2], IMAG if places[k, 3] else 0
        scale = constants.dtype.type(places[k, 4] / rows)
        factor = splat(constants, scale)
        n = 0
        while n < count:
            offset = (tap + n) * item
            if n + lanes <= count:
                gather(constants, table, offset, turned)
                for j in range(lanes):
                    value = mul(factor, load(constants, turned + j * REGISTER_BYTES))
                    store(row_at(buffer, row + n + j) + imaginary, value)
                n += lanes
            else:
                _gather_one(constants, table, offset, row_at(buffer, row + n) + imaginary, scale)
                n += 1


@helper
def store_filter_gradient(
    constants: Any,
    top: Any,
    rows: int,
    buffer: int,
    places: Any,
    gradient: Any,
    channel: int,
    table: int,
    turned: int,
) -> None:
    """The adjoint of ``load_filter``, without the sum over channels that share a filter.

    ``gradient`` (address, step from channel to channel). Taps with two places are summed here, in the tile's
    own rows: channels at the edge of two tiles are written by both, perhaps at once, and a sum in ``gradient``
    would count one of them twice.
    """
    not_inlined()
    _pass_the_top(constants, top, buffer, variable(UP_THE_TREE))
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    for lane in range(lanes):
        store_address(table, lane, gradient[0] + (channel + lane) * gradient[1])
    for k in range(places.shape[0] - 1, -1, -1):
        tap, row, count, imaginary = places[k, 0], places[k, 1], places[k, 2], IMAG if places[k, 3] else 0
        if places[k, 5]:  # the first place of tap s is then row s
            for n in range(count):
                p = row_at(buffer, tap + n)
                store(p, sub(load(constants, p), load(constants, row_at(buffer, row + n) + IMAG)))
            continue
        scale = constants.dtype.type(places[k, 4] / rows)
        factor = splat(constants, scale)
        n = 0
        while n < count:
            offset = (tap + n) * item
            if n + lanes <= count:
                for j in range(lanes):
                    value = mul(factor, load(constants, row_at(buffer, row + n + j) + imaginary))
                    store(turned + j * REGISTER_BYTES, value)
                scatter(constants, turned, table, offset)
                n += lanes
            else:
                _scatter_one(constants, row_at(buffer, row + n) + imaginary, table, offset, scale)
                n += 1


@helper
def _gather_one(constants: Any, table: int, offset: int, vector: int, scale: Any) -> None:
    """As ``gather``, a single number from each address."""
    item = constants.itemsize
    for lane in range(REGISTER_BYTES // item):
        value = load_scalar(constants, load_address(table, lane) + offset)
        store_scalar(constants, vector + lane * item, scale * value)


@helper
def _scatter_one(constants: Any, vector: int, table: int, offset: int, scale: Any) -> None:
    item = constants.itemsize
    for lane in range(REGISTER_BYTES // item):
        value = load_scalar(constants, vector + lane * item)
        store_scalar(constants, load_address(table, lane) + offset, scale * value)
