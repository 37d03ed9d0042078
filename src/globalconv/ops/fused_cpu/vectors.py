"""Vector primitives for Numba: a register that holds one position of many channels.

Numba has no vector type, and its loops over channels would be vectorised, or not, at the compiler's
discretion. Here a vector is a type of its own, as wide as the machine's registers (AVX-512: 64 bytes,
AVX2: 32, NEON and SSE: 16), and each function is one instruction of LLVM. Memory is addressed by integers in
bytes, as torch's ``data_ptr`` gives them: no array is wrapped, and nothing is checked; ``kernels`` sees
to it that every address is inside a tensor. ``kind`` is any array whose dtype says which vector is meant.
"""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from globalconv.ops.fused_cpu.transform import NODE_CONSTANTS


def _register_bytes() -> int:
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx") else 16


REGISTER_BYTES = _register_bytes()


class Vector(types.Type):
    """The type of a vector of ``dtype`` that fills a register."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.bits = dtype.bitwidth
        self.lanes = REGISTER_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")

    @property
    def suffix(self) -> str:
        """As LLVM names it in its intrinsics."""
        return f"v{self.lanes}f{self.bits}"


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _llvm_type(vector))


def _llvm_type(vector: Vector) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if vector.bits == 32 else ir.DoubleType(), vector.lanes)


def _scalar_bytes(vector: Vector) -> int:
    return vector.bits // 8


def _pointer(builder: Any, address: Any, to: Any) -> Any:
    return builder.inttoptr(address, to.as_pointer())


def _splat(builder: Any, vector: Vector, scalar: Any) -> Any:
    kind = _llvm_type(vector)
    undefined = ir.Constant(kind, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, lanes)


def read_vector(builder: Any, vector: Vector, address: Any) -> Any:
    """While code is generated: a vector from memory, aligned to its scalars."""
    return builder.load(_pointer(builder, address, _llvm_type(vector)), align=_scalar_bytes(vector))


def write_vector(builder: Any, vector: Vector, address: Any, value: Any) -> None:
    """While code is generated: a vector to memory, aligned to its scalars."""
    builder.store(value, _pointer(builder, address, _llvm_type(vector)), align=_scalar_bytes(vector))


def gives(write: Callable[..., Any]) -> Callable[..., Any]:
    """The code of an intrinsic whose value is ``write(builder, *arguments)``."""
    return lambda context, builder, signature, args: write(builder, *args)


def does(write: Callable[..., Any]) -> Callable[..., Any]:
    """The code of an intrinsic without a value."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write(builder, *args)
        return context.get_dummy_value()

    return generate


@intrinsic
def load(context: Any, kind: Any, address: Any) -> Any:
    """The vector at ``address``, aligned to its scalars."""
    vector = Vector(kind.dtype)
    return vector(kind, types.int64), gives(lambda builder, _, at: read_vector(builder, vector, at))


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a vector to ``address``, aligned to its scalars."""
    return types.none(types.int64, value), does(lambda builder, *args: write_vector(builder, value, *args))


@intrinsic
def stream(context: Any, address: Any, value: Any) -> Any:
    """Write a vector past the caches; the address is a multiple of the register's bytes."""

    def write(builder: Any, at: Any, vector: Any) -> None:
        written = builder.store(vector, _pointer(builder, at, _llvm_type(value)), align=REGISTER_BYTES)
        hint = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        written.set_metadata("nontemporal", hint)

    return types.none(types.int64, value), does(write)


@intrinsic
def prefetch(context: Any, address: Any) -> Any:
    """Ask for the cache line at ``address``; harmless where there is no memory."""

    def write(builder: Any, at: Any) -> None:
        pointer = _pointer(builder, at, ir.IntType(8))
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, i32(0), i32(3), i32(1)])  # to read, keep in all caches, data

    return types.none(types.int64), does(write)


@intrinsic
def splat(context: Any, kind: Any, scalar: Any) -> Any:
    """A vector with ``scalar``, of kind's dtype, in every lane."""
    vector = Vector(kind.dtype)
    return vector(kind, kind.dtype), gives(lambda builder, _, number: _splat(builder, vector, number))


@intrinsic
def zero(context: Any, kind: Any) -> Any:
    """The vector of zeros."""
    vector = Vector(kind.dtype)
    return vector(kind), gives(lambda builder, _: ir.Constant(_llvm_type(vector), [0.0] * vector.lanes))


@intrinsic
def splat_constants(context: Any, constants: Any, first: Any) -> Any:
    """A node's constants, from number ``first`` of the array on, each in every lane of a vector; a tuple."""
    vector = Vector(constants.dtype)
    result = types.UniTuple(vector, NODE_CONSTANTS)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(constants)(context, builder, args[0])
        numbers = builder.gep(array.data, [args[1]])
        values = [
            _splat(builder, vector, builder.load(builder.gep(numbers, [ir.IntType(64)(i)])))
            for i in range(NODE_CONSTANTS)
        ]
        return context.make_tuple(builder, result, values)

    return result(constants, types.int64), generate


class Register:
    """A vector while code is generated: arithmetic on it writes an instruction of LLVM."""

    def __init__(self, builder: Any, vector: Vector, value: Any) -> None:
        self.builder, self.vector, self.value = builder, vector, value

    def __add__(self, other: Any) -> "Register":
        return self._new(self.builder.fadd(self.value, self._value(other)))

    def __sub__(self, other: Any) -> "Register":
        return self._new(self.builder.fsub(self.value, self._value(other)))

    def __mul__(self, other: Any) -> "Register":
        return self._new(self.builder.fmul(self.value, self._value(other)))

    def __neg__(self) -> "Register":
        return self._new(self.builder.fneg(self.value))

    def times_plus(self, other: Any, more: Any) -> "Register":
        """self other + more, rounded once."""
        kind = _llvm_type(self.vector)
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{self.vector.suffix}"
        )
        return self._new(self.builder.call(function, [self.value, self._value(other), self._value(more)]))

    def _new(self, value: Any) -> "Register":
        return Register(self.builder, self.vector, value)

    def _value(self, other: Any) -> Any:
        if isinstance(other, Register):
            return other.value
        return ir.Constant(_llvm_type(self.vector), [float(other)] * self.vector.lanes)


def on_registers(outputs: int, function: Callable[..., Any]) -> Any:
    """Make a Python function of numbers a function of vectors that kernels can call.

    It is run once, while code is generated, on ``Register``s, or tuples of them where a tuple is given; so it
    may not branch on their values. It returns ``outputs`` of them, as a tuple if more than one.
    """

    def typed(context: Any, *kinds: Any) -> Any:
        vector = kinds[0] if isinstance(kinds[0], Vector) else kinds[0].dtype

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            results = function(
                *(
                    Register(builder, vector, value)
                    if kind == vector
                    else tuple(
                        Register(builder, vector, builder.extract_value(value, i)) for i in range(len(kind))
                    )
                    for kind, value in zip(kinds, args, strict=True)
                )
            )
            if outputs == 1:
                return results.value
            return context.make_tuple(builder, signature.return_type, [result.value for result in results])

        result = vector if outputs == 1 else types.UniTuple(vector, outputs)
        return result(*kinds), generate

    return intrinsic(of_arity(typed, 1 + len(inspect.signature(function).parameters)))


def of_arity(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A function of ``*arguments`` that tells Numba how many it takes."""
    places = [
        inspect.Parameter(f"argument{i}", inspect.Parameter.POSITIONAL_OR_KEYWORD) for i in range(count)
    ]
    function.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]
    return function


mul = on_registers(1, operator.mul)
sub = on_registers(1, operator.sub)


@intrinsic
def load_scalar(context: Any, kind: Any, address: Any) -> Any:
    """The number of kind's dtype at ``address``."""
    number = _llvm_type(Vector(kind.dtype)).element
    return kind.dtype(kind, types.int64), gives(
        lambda builder, _, at: builder.load(_pointer(builder, at, number))
    )


@intrinsic
def store_scalar(context: Any, kind: Any, address: Any, value: Any) -> Any:
    """Write a number, in kind's dtype, to ``address``."""

    def write(builder: Any, _: Any, at: Any, number: Any) -> None:
        builder.store(number, _pointer(builder, at, number.type))

    return types.none(kind, types.int64, kind.dtype), does(write)


def _interleave(builder: Any, kind: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """(a0 b0 a1 b1 ...), first and second half."""
    lanes = kind.count
    halves = []
    for first in (0, lanes // 2):
        order = [place for i in range(first, first + lanes // 2) for place in (i, lanes + i)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), order)
        halves.append(builder.shuffle_vector(a, b, mask))
    return halves[0], halves[1]


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """As many vectors as each has lanes, transposed: interleaving row i with row i + n/2, log2 n times."""
    half = len(rows) // 2
    for _ in range(half.bit_length()):
        pairs = [_interleave(builder, rows[0].type, rows[i], rows[i + half]) for i in range(half)]
        rows = [vector for pair in pairs for vector in pair]
    return rows


def _entry(builder: Any, table: Any, lane: Any) -> Any:
    """A pointer into a table of addresses."""
    i64 = ir.IntType(64)
    return _pointer(builder, builder.add(table, builder.mul(lane, i64(8))), i64)


@intrinsic
def store_address(context: Any, table: Any, lane: Any, address: Any) -> Any:
    """Write an address into a table of them."""

    def write(builder: Any, table: Any, lane: Any, address: Any) -> None:
        builder.store(address, _entry(builder, table, lane))

    return types.none(types.int64, types.int64, types.int64), does(write)


@intrinsic
def load_address(context: Any, table: Any, lane: Any) -> Any:
    """An address from a table of them."""

    def write(builder: Any, table: Any, lane: Any) -> Any:
        return builder.load(_entry(builder, table, lane))

    return types.int64(types.int64, types.int64), gives(write)


@intrinsic
def gather(context: Any, kind: Any, table: Any, offset: Any, tile: Any) -> Any:
    """Numbers along memory to vectors across it: vector j of ``tile`` gets number j from every address.

    The addresses are those of the ``table``, one per lane, plus ``offset``; as many numbers from each as a
    vector has lanes.
    """
    vector = Vector(kind.dtype)

    def write(builder: Any, _: Any, table: Any, offset: Any, tile: Any) -> None:
        along, across = _both_ways(builder, vector, table, offset, tile)
        rows = [read_vector(builder, vector, address) for address in along]
        for address, row in zip(across, _transpose(builder, rows), strict=True):
            write_vector(builder, vector, address, row)

    return types.none(kind, types.int64, types.int64, types.int64), does(write)


@intrinsic
def scatter(context: Any, kind: Any, tile: Any, table: Any, offset: Any) -> Any:
    """The way back of ``gather``."""
    vector = Vector(kind.dtype)

    def write(builder: Any, _: Any, tile: Any, table: Any, offset: Any) -> None:
        along, across = _both_ways(builder, vector, table, offset, tile)
        rows = [read_vector(builder, vector, address) for address in across]
        for address, row in zip(along, _transpose(builder, rows), strict=True):
            write_vector(builder, vector, address, row)

    return types.none(kind, types.int64, types.int64, types.int64), does(write)


def _both_ways(
    builder: Any, vector: Vector, table: Any, offset: Any, tile: Any
) -> tuple[list[Any], list[Any]]:
    """The addresses along memory, in a table plus an offset, and those of the vectors across it."""
    i64 = ir.IntType(64)
    lanes = range(vector.lanes)
    along = [builder.add(builder.load(_entry(builder, table, i64(lane))), offset) for lane in lanes]
    return along, [builder.add(tile, i64(lane * REGISTER_BYTES)) for lane in lanes]
