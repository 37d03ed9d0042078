"""Between the tensors and the buffers: signals, gates, taps and their gradient; one tile of channels.

Where the plan begins (and ends) with radix 4, that step is taken on the way, in registers.
"""

from typing import Any, NamedTuple

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


class Shape(NamedTuple):
    """How a signal lies in a buffer."""

    rows: int
    length: int
    circular: int
    top_in_passing: int  # whether the first step is taken on the way


class Strip(NamedTuple):
    """A tile's channels in one row of the batch, in a tensor, and the gate that they are multiplied by.

    ``at`` is 0 where a result has no second place; a gate is None where the kernel is compiled without gates.
    """

    at: int
    step: int
    gate: int | None
    gate_step: int


class Filters(NamedTuple):
    """Filters or their gradient, and memory for as many addresses, and vectors, as there are lanes."""

    at: int
    step: int  # from filter to filter
    per_filter: int  # channels that share one
    table: int
    turned: int


@inline
def _read(kind: Any, strip: Any, n: int) -> Any:
    return _times_gate(kind, load(kind, strip.at + n * strip.step), strip.gate, n * strip.gate_step)


@inline
def _times_gate(kind: Any, value: Any, gate: Any, offset: int) -> Any:
    if gate is None:
        return value
    return mul(value, load(kind, gate + offset))


@inline
def _write(kind: Any, result: Any, second: Any, n: int, value: Any, streaming: bool) -> None:
    _put(result.at + n * result.step, _times_gate(kind, value, result.gate, n * result.gate_step), streaming)
    _write_second(kind, second, n, value, second.gate, streaming)


@inline
def _write_second(kind: Any, second: Any, n: int, value: Any, gate: Any, streaming: bool) -> None:
    if gate is not None and second.at:
        value = mul(value, load(kind, gate + n * second.gate_step))
        _put(second.at + n * second.step, value, streaming)


@inline
def _put(address: int, value: Any, streaming: bool) -> None:
    if streaming:
        stream(address, value)
    else:
        store(address, value)


@inline
def _ask_ahead(strip: Any, n: int, apart: int) -> None:
    """For what ``_read`` wants in some rounds at n and the three positions after it, ``apart`` each."""
    for j in range(4):
        at = n + AHEAD + j * apart
        prefetch(strip.at + at * strip.step)
        _ask_for_gate(strip.gate, at * strip.gate_step)


@inline
def _ask_for_gate(gate: Any, offset: int) -> None:
    if gate is not None:
        prefetch(gate + offset)


# --- signals in ---------------------------------------------------------------------------------------


@helper
def load_signal(constants: Any, top: Any, shape: Any, buffer: int, signal: Any) -> None:
    """A signal, down the top of the tree."""
    not_inlined()
    if shape.top_in_passing and shape.circular:
        _load_top4_real(constants, buffer, shape.rows // 4, signal)
    elif shape.top_in_passing:
        _load_top4(constants, buffer, shape.rows // 4, signal)
    else:
        _load_rows(constants, buffer, shape, signal)
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
def _load_rows(constants: Any, buffer: int, shape: Any, signal: Any) -> None:
    """Rows from a signal: its second half beside the first in a circle, else alone, and zeros at the end."""
    not_inlined()
    nothing = zero(constants)
    for n in range(shape.rows):
        r, i = nothing, nothing
        if shape.circular:
            r, i = _read(constants, signal, n), _read(constants, signal, n + shape.rows)
        elif n < shape.length:
            r = _read(constants, signal, n)
        store_row((r, i), row_at(buffer, n))


# --- results out --------------------------------------------------------------------------------------


@helper
def store_result(
    constants: Any, top: Any, shape: Any, buffer: int, result: Any, second: Any, streaming: bool
) -> None:
    """Up the top of the tree, and out: the adjoint of ``load_signal``. ``second``: another place, with its own gate."""
    not_inlined()
    if shape.top_in_passing and shape.circular:
        _store_top4_real(constants, buffer, shape.rows // 4, result, second, streaming)
    elif shape.top_in_passing:
        _store_top4(constants, buffer, shape.rows // 4, result, second, streaming)
    else:
        _pass_the_top(constants, top, buffer, variable(UP_THE_TREE))
        _store_rows(constants, buffer, shape, result, second, streaming)


@helper
def _store_top4(constants: Any, buffer: int, quarter: int, result: Any, second: Any, streaming: bool) -> None:
    """The last step up of z^(4 quarter) - i, and its real parts."""
    not_inlined()
    c = splat_constants(constants, variable(0))
    for n in range(quarter):
        x = _up4(load_4_apart(constants, buffer, n, quarter), c)
        _write(constants, result, second, n, x[0], streaming)
        _write(constants, result, second, n + quarter, x[2], streaming)
        _write(constants, result, second, n + 2 * quarter, x[4], streaming)
        _write(constants, result, second, n + 3 * quarter, x[6], streaming)


@helper
def _store_top4_real(
    constants: Any, buffer: int, quarter: int, result: Any, second: Any, streaming: bool
) -> None:
    """The last step up of z^(8 quarter) - 1."""
    not_inlined()
    for n in range(quarter):
        m = n + 4 * quarter
        x = _eight_up(load_4_apart(constants, buffer, n, quarter))
        _write(constants, result, second, n, x[0], streaming)
        _write(constants, result, second, n + quarter, x[1], streaming)
        _write(constants, result, second, n + 2 * quarter, x[2], streaming)
        _write(constants, result, second, n + 3 * quarter, x[3], streaming)
        _write(constants, result, second, m, x[4], streaming)
        _write(constants, result, second, m + quarter, x[5], streaming)
        _write(constants, result, second, m + 2 * quarter, x[6], streaming)
        _write(constants, result, second, m + 3 * quarter, x[7], streaming)


@helper
def _store_rows(constants: Any, buffer: int, shape: Any, result: Any, second: Any, streaming: bool) -> None:
    """What ``_load_rows`` put in comes out, the rest is left."""
    not_inlined()
    for n in range(shape.rows):
        p = row_at(buffer, n)
        if shape.circular:
            _write(constants, result, second, n, load(constants, p), streaming)
            _write(constants, result, second, n + shape.rows, load(constants, p + IMAG), streaming)
        elif n < shape.length:
            _write(constants, result, second, n, load(constants, p), streaming)


# --- the filter in, its gradient out ------------------------------------------------------------------


@helper
def load_filter(
    constants: Any, top: Any, rows: int, buffer: int, segments: Any, taps: Any, skip: int, channel: int
) -> None:
    """The taps of a tile's channels where ``segments`` say, divided by the rows, down the top of the tree.

    ``skip``: the address of the weights that are added at lag 0, which is row 0; or 0.
    """
    not_inlined()
    _find_lanes(constants, taps, channel)
    _load_taps(constants, buffer, rows, segments, taps.table, taps.turned)
    if skip:
        _add_skip(constants, buffer, 1.0 / rows, skip + channel * constants.itemsize)
    _pass_the_top(constants, top, buffer, variable(DOWN_THE_TREE))


@inline
def _find_lanes(constants: Any, filters: Any, channel: int) -> None:
    """A table of the addresses of the filters of a tile's channels."""
    for lane in range(REGISTER_BYTES // constants.itemsize):
        address = filters.at + ((channel + lane) // filters.per_filter) * filters.step
        store_address(filters.table, lane, address)


@inline
def _add_skip(constants: Any, buffer: int, scale: Any, skip: int) -> None:
    item = constants.itemsize
    p = row_at(buffer, 0)
    for lane in range(REGISTER_BYTES // item):
        weight = constants.dtype.type(scale) * load_scalar(constants, skip + lane * item)
        store_scalar(constants, p + lane * item, load_scalar(constants, p + lane * item) + weight)


@helper
def _load_taps(constants: Any, buffer: int, rows: int, segments: Any, table: int, turned: int) -> None:
    """Rows of taps, and zeros where no tap has its place."""
    not_inlined()
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    nothing = zero(constants)
    for n in range(rows):
        store_row((nothing, nothing), row_at(buffer, n))
    for k in range(segments.shape[0]):
        tap, row, num_taps = segments[k].tap, segments[k].row, segments[k].num_taps
        part = IMAG if segments[k].imaginary else 0
        scale = constants.dtype.type(segments[k].sign / rows)
        factor = splat(constants, scale)
        n = 0
        while n < num_taps:
            offset = (tap + n) * item
            if n + lanes <= num_taps:
                gather(constants, table, offset, turned)
                for j in range(lanes):
                    value = mul(factor, load(constants, turned + j * REGISTER_BYTES))
                    store(row_at(buffer, row + n + j) + part, value)
                n += lanes
            else:
                _gather_one(constants, table, offset, row_at(buffer, row + n) + part, scale)
                n += 1


@helper
def store_filter_gradient(
    constants: Any, top: Any, rows: int, buffer: int, segments: Any, gradient: Any, channel: int
) -> None:
    """The adjoint of ``load_filter``, without the sum over channels that share a filter.

    Taps with two places are summed here, in the tile's own rows: channels at the edge of two tiles are written by
    both, perhaps at once, and a sum in ``gradient`` would count one of them twice.
    """
    not_inlined()
    _pass_the_top(constants, top, buffer, variable(UP_THE_TREE))
    item = constants.itemsize
    lanes = REGISTER_BYTES // item
    _find_lanes(constants, gradient, channel)
    table, turned = gradient.table, gradient.turned
    for k in range(segments.shape[0] - 1, -1, -1):
        tap, row, num_taps = segments[k].tap, segments[k].row, segments[k].num_taps
        part = IMAG if segments[k].imaginary else 0
        if segments[k].again:  # the first place of tap s is then row s
            for n in range(num_taps):
                p = row_at(buffer, tap + n)
                store(p, sub(load(constants, p), load(constants, row_at(buffer, row + n) + IMAG)))
            continue
        scale = constants.dtype.type(segments[k].sign / rows)
        factor = splat(constants, scale)
        n = 0
        while n < num_taps:
            offset = (tap + n) * item
            if n + lanes <= num_taps:
                for j in range(lanes):
                    value = mul(factor, load(constants, row_at(buffer, row + n + j) + part))
                    store(turned + j * REGISTER_BYTES, value)
                scatter(constants, turned, table, offset)
                n += lanes
            else:
                _scatter_one(constants, row_at(buffer, row + n) + part, table, offset, scale)
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
