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


@intrinsic
def load(context: Any, kind: Any, address: Any) -> Any:
    """The vector at ``address``, aligned to its scalars."""
    vector = Vector(kind.dtype)
    return vector(kind, types.int64), lambda context, builder, signature, args: read_vector(
        builder, vector, args[1]
    )


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a vector to ``address``, aligned to its scalars."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        write_vector(builder, value, *args)
        return context.get_dummy_value()

    return types.none(types.int64, value), generate


@intrinsic
def stream(context: Any, address: Any, value: Any) -> Any:
    """Write a vector past the caches; the address is a multiple of the register's bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], _llvm_type(value))
        written = builder.store(args[1], pointer, align=REGISTER_BYTES)
        hint = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        written.set_metadata("nontemporal", hint)
        return context.get_dummy_value()

    return types.none(types.int64, value), generate


@intrinsic
def prefetch(context: Any, address: Any) -> Any:
    """Ask for the cache line at ``address``; harmless where there is no memory."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], ir.IntType(8))
        i32 = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [pointer, i32(0), i32(3), i32(1)])  # to read, keep in all caches, data
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def splat(context: Any, kind: Any, scalar: Any) -> Any:
    """A vector with ``scalar``, of kind's dtype, in every lane."""
    vector = Vector(kind.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, vector, args[1])

    return vector(kind, kind.dtype), generate


@intrinsic
def zero(context: Any, kind: Any) -> Any:
    """The vector of zeros."""
    vector = Vector(kind.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(_llvm_type(vector), [0.0] * vector.lanes)

    return vector(kind), generate


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

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, args[1], context.get_data_type(kind.dtype)))

    return kind.dtype(kind, types.int64), generate


@intrinsic
def store_scalar(context: Any, kind: Any, address: Any, value: Any) -> Any:
    """Write a number, in kind's dtype, to ``address``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, args[1], args[2].type))
        return context.get_dummy_value()

    return types.none(kind, types.int64, kind.dtype), generate


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


def _address_in(builder: Any, table: Any, lane: int, offset: Any) -> Any:
    i64 = ir.IntType(64)
    place = builder.add(table, i64(8 * lane))
    return builder.add(builder.load(_pointer(builder, place, i64)), offset)


@intrinsic
def store_address(context: Any, table: Any, lane: Any, address: Any) -> Any:
    """Write an address into a table of them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        place = builder.add(args[0], builder.mul(args[1], i64(8)))
        builder.store(args[2], _pointer(builder, place, i64))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


@intrinsic
def load_address(context: Any, table: Any, lane: Any) -> Any:
    """An address from a table of them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        place = builder.add(args[0], builder.mul(args[1], i64(8)))
        return builder.load(_pointer(builder, place, i64))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def gather(context: Any, kind: Any, table: Any, offset: Any, tile: Any) -> Any:
    """Numbers along memory to vectors across it: vector j of ``tile`` gets number j from every address.

    The addresses are those of the ``table``, one per lane, plus ``offset``; as many numbers from each as a
    vector has lanes.
    """
    vector = Vector(kind.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, table, offset, tile = args
        rows = [
            read_vector(builder, vector, _address_in(builder, table, lane, offset))
            for lane in range(vector.lanes)
        ]
        for j, row in enumerate(_transpose(builder, rows)):
            write_vector(builder, vector, builder.add(tile, ir.IntType(64)(j * REGISTER_BYTES)), row)
        return context.get_dummy_value()

    return types.none(kind, types.int64, types.int64, types.int64), generate


@intrinsic
def scatter(context: Any, kind: Any, tile: Any, table: Any, offset: Any) -> Any:
    """The way back of ``gather``."""
    vector = Vector(kind.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, tile, table, offset = args
        rows = [
            read_vector(builder, vector, builder.add(tile, ir.IntType(64)(j * REGISTER_BYTES)))
            for j in range(vector.lanes)
        ]
        for lane, row in enumerate(_transpose(builder, rows)):
            write_vector(builder, vector, _address_in(builder, table, lane, offset), row)
        return context.get_dummy_value()

    return types.none(kind, types.int64, types.int64, types.int64), generate
