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
    does,
    gives,
    of_arity,
    read_vector,
    write_vector,
)

ROW = 2 * REGISTER_BYTES
IMAG = REGISTER_BYTES


def buffer_bytes(rows: int) -> int:
    """The layout of a buffer of ``rows`` rows, with a distance to the next one that differs from a power of two."""
    return (rows + (rows >> 6) + 5) * ROW


def _row_at(builder: Any, buffer: Any, row: Any) -> Any:
    """One row in 65 is left free: powers of two would meet in one set of the cache."""
    i64 = ir.IntType(64)
    place = builder.add(row, builder.ashr(row, i64(6)))
    return builder.add(buffer, builder.mul(place, i64(ROW)))


@intrinsic
def row_at(context: Any, buffer: Any, row: Any) -> Any:
    """The address of a row."""
    return types.int64(types.int64, types.int64), gives(_row_at)


def _neighbours(builder: Any, count: int, first: Any) -> list[Any]:
    """Addresses of rows one after the other."""
    return [builder.add(first, ir.IntType(64)(k * ROW)) for k in range(count)]


def _rows_apart(builder: Any, count: int, buffer: Any, row: Any, apart: Any) -> list[Any]:
    """Addresses of the rows that meet in a step."""
    addresses = []
    for _ in range(count):
        addresses.append(_row_at(builder, buffer, row))
        row = builder.add(row, apart)
    return addresses


def _read_rows(builder: Any, vector: Vector, addresses: list[Any]) -> list[Any]:
    """Real and imaginary parts of each, in turn."""
    return [
        read_vector(builder, vector, builder.add(address, ir.IntType(64)(offset)))
        for address in addresses
        for offset in (0, IMAG)
    ]


def _write_rows(builder: Any, vector: Vector, addresses: list[Any], parts: list[Any]) -> None:
    places = [builder.add(address, ir.IntType(64)(offset)) for address in addresses for offset in (0, IMAG)]
    for place, part in zip(places, parts, strict=True):
        write_vector(builder, vector, place, part)


def _loader(count: int, addresses_of: Callable[..., list[Any]], arguments: int) -> Any:
    def typed(context: Any, kind: Any, *where: Any) -> Any:
        vector = Vector(kind.dtype)
        result = types.UniTuple(vector, 2 * count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = _read_rows(builder, vector, addresses_of(builder, count, *args[1:]))
            return context.make_tuple(builder, result, values)

        return result(kind, *[types.int64] * arguments), generate

    return intrinsic(of_arity(typed, 2 + arguments))


def _storer(count: int, addresses_of: Callable[..., list[Any]], arguments: int) -> Any:
    def typed(context: Any, values: Any, *where: Any) -> Any:
        def write(builder: Any, packed: Any, *where: Any) -> None:
            parts = [builder.extract_value(packed, i) for i in range(2 * count)]
            _write_rows(builder, values.dtype, addresses_of(builder, count, *where), parts)

        return types.none(values, *[types.int64] * arguments), does(write)

    return intrinsic(of_arity(typed, 2 + arguments))


def load_neighbours(count: int) -> Any:
    """A function for kernels, (kind, address): rows one after the other, their parts in turn in a tuple."""
    return _loader(count, _neighbours, 1)


def store_neighbours(count: int) -> Any:
    """A function for kernels, (tuple, address): the way back of ``load_neighbours``."""
    return _storer(count, _neighbours, 1)


# (tuple, address)
store_row = store_neighbours(1)
# (kind or tuple, buffer, row, apart): four rows, ``apart`` from each other.
load_4_apart, store_4_apart = _loader(4, _rows_apart, 3), _storer(4, _rows_apart, 3)


def in_place(radix: int, function: Callable[[Any, Any], Any]) -> Any:
    """A function for kernels: (kind, buffer, row, apart, constants), one step of ``arithmetic``.

    The rows that meet, ``radix`` of them ``apart`` from each other, are loaded, and what ``function`` makes of
    them and the constants (a tuple of vectors) is stored in their places.
    """

    def typed(context: Any, kind: Any, buffer: Any, row: Any, apart: Any, constants: Any) -> Any:
        vector = Vector(kind.dtype)

        def write(builder: Any, _: Any, buffer: Any, row: Any, apart: Any, packed: Any) -> None:
            addresses = _rows_apart(builder, radix, buffer, row, apart)
            x = tuple(Register(builder, vector, part) for part in _read_rows(builder, vector, addresses))
            c = tuple(
                Register(builder, vector, builder.extract_value(packed, i)) for i in range(len(constants))
            )
            _write_rows(builder, vector, addresses, [part.value for part in function(x, c)])

        return types.none(kind, types.int64, types.int64, types.int64, constants), does(write)

    return intrinsic(typed)
