"""Buffers of rows, and steps on the rows that meet.

A buffer lies in memory as *rows*: row t is position t of a tile of channels, a vector of real parts and
one of imaginary parts. Addresses are in bytes. ``kind``, an array in the dtype that is computed in, says
which vectors are meant (see ``vectors``).
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from globalconv.ops.fused_cpu.vectors import (
    REGISTER_BYTES,
    Register,
    Vector,
    of_arity,
    read_vector,
    write_vector,
)

ROW = 2 * REGISTER_BYTES
IMAG = REGISTER_BYTES


def buffer_bytes(rows: int) -> int:
    """Of a buffer of ``rows`` rows, with a distance to the next one that differs from a power of two."""
    return (rows + (rows >> 6) + 5) * ROW


def _row_at(builder: Any, buffer: Any, row: Any) -> Any:
    """One row in 65 is left free: powers of two would meet in one set of the cache."""
    i64 = ir.IntType(64)
    place = builder.add(row, builder.ashr(row, i64(6)))
    return builder.add(buffer, builder.mul(place, i64(ROW)))


@intrinsic
def row_at(context: Any, buffer: Any, row: Any) -> Any:
    """The address of a row."""
    return types.int64(types.int64, types.int64), lambda context, builder, signature, args: _row_at(
        builder, *args
    )


def _read_row(builder: Any, vector: Vector, address: Any) -> list[Any]:
    return [
        read_vector(builder, vector, builder.add(address, ir.IntType(64)(offset))) for offset in (0, IMAG)
    ]


def _write_row(builder: Any, vector: Vector, address: Any, real: Any, imaginary: Any) -> None:
    for offset, value in ((0, real), (IMAG, imaginary)):
        write_vector(builder, vector, builder.add(address, ir.IntType(64)(offset)), value)


def _load_rows(count: int) -> Any:
    def typed(context: Any, kind: Any, *addresses: Any) -> Any:
        vector = Vector(kind.dtype)
        result = types.UniTuple(vector, 2 * count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = [part for address in args[1:] for part in _read_row(builder, vector, address)]
            return context.make_tuple(builder, result, values)

        return result(kind, *[types.int64] * count), generate

    return intrinsic(of_arity(typed, 2 + count))


def _store_rows(count: int) -> Any:
    def typed(context: Any, values: Any, *addresses: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for i, address in enumerate(args[1:]):
                parts = (builder.extract_value(args[0], 2 * i + part) for part in (0, 1))
                _write_row(builder, values.dtype, address, *parts)
            return context.get_dummy_value()

        return types.none(values, *[types.int64] * count), generate

    return intrinsic(of_arity(typed, 2 + count))


def load_neighbours(count: int) -> Any:
    """A function for kernels, (kind, address): as ``load_row``, of ``count`` rows one after the other."""

    def typed(context: Any, kind: Any, address: Any) -> Any:
        vector = Vector(kind.dtype)
        result = types.UniTuple(vector, 2 * count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            rows = (builder.add(args[1], ir.IntType(64)(k * ROW)) for k in range(count))
            values = [part for row in rows for part in _read_row(builder, vector, row)]
            return context.make_tuple(builder, result, values)

        return result(kind, types.int64), generate

    return intrinsic(typed)


def store_neighbours(count: int) -> Any:
    """A function for kernels, (tuple, address): the way back of ``load_neighbours``."""

    def typed(context: Any, values: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for k in range(count):
                parts = (builder.extract_value(args[0], 2 * k + part) for part in (0, 1))
                row = builder.add(args[1], ir.IntType(64)(k * ROW))
                _write_row(builder, values.dtype, row, *parts)
            return context.get_dummy_value()

        return types.none(values, types.int64), generate

    return intrinsic(typed)


# (kind, address, ...): real and imaginary parts of the rows there, one after the other in a tuple.
load_4_rows = _load_rows(4)
# (tuple, address, ...): the way back.
store_row, store_4_rows = _store_rows(1), _store_rows(4)


def in_place(radix: int, function: Callable[[Any, Any], Any]) -> Any:
    """A function for kernels: (kind, buffer, row, apart, constants), one step of ``arithmetic``.

    The rows that meet, ``radix`` of them ``apart`` from each other, are loaded, and what ``function`` makes of
    them and the constants (a tuple of vectors) is stored in their places.
    """

    def typed(context: Any, kind: Any, buffer: Any, row: Any, apart: Any, constants: Any) -> Any:
        vector = Vector(kind.dtype)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, buffer, row, apart, packed = args
            addresses = []
            for _ in range(radix):
                addresses.append(_row_at(builder, buffer, row))
                row = builder.add(row, apart)
            x = tuple(
                Register(builder, vector, part)
                for address in addresses
                for part in _read_row(builder, vector, address)
            )
            c = tuple(
                Register(builder, vector, builder.extract_value(packed, i)) for i in range(len(constants))
            )
            y = function(x, c)
            for i, address in enumerate(addresses):
                _write_row(builder, vector, address, y[2 * i].value, y[2 * i + 1].value)
            return context.get_dummy_value()

        return types.none(kind, types.int64, types.int64, types.int64, constants), generate

    return intrinsic(typed)
