"""Vector primitives for Numba: a register that holds one position of many channels.

Numba has no vector type, and its loops over channels would be vectorised, or not, at the compiler's
discretion. Here a vector is a type of its own, as wide as the machine's registers (AVX-512: 64 bytes,
AVX2: 32, NEON and SSE: 16), and each function is one instruction of LLVM. Memory is addressed by integers in
bytes, as torch's ``data_ptr`` gives them: no array is wrapped, and nothing is checked; ``kernels`` sees
to it that every address is inside a tensor. ``kind`` is any array whose dtype says which vector is meant.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model


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


@intrinsic
def load(context: Any, kind: Any, address: Any) -> Any:
    """The vector at ``address``, aligned to its scalars."""
    vector = Vector(kind.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[1], _llvm_type(vector))
        return builder.load(pointer, align=_scalar_bytes(vector))

    return vector(kind, types.int64), generate


@intrinsic
def store(context: Any, address: Any, value: Any) -> Any:
    """Write a vector to ``address``, aligned to its scalars."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(builder, args[0], _llvm_type(value))
        builder.store(args[1], pointer, align=_scalar_bytes(value))
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
def add(context: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return a(a, b), lambda context, builder, signature, args: builder.fadd(*args)


@intrinsic
def sub(context: Any, a: Any, b: Any) -> Any:
    """a - b."""
    return a(a, b), lambda context, builder, signature, args: builder.fsub(*args)


@intrinsic
def mul(context: Any, a: Any, b: Any) -> Any:
    """a b."""
    return a(a, b), lambda context, builder, signature, args: builder.fmul(*args)


def _fused(builder: Any, vector: Vector, a: Any, b: Any, c: Any) -> Any:
    kind = _llvm_type(vector)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.{vector.suffix}"
    )
    return builder.call(function, [a, b, c])


@intrinsic
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return a(a, b, c), lambda context, builder, signature, args: _fused(builder, a, *args)


@intrinsic
def fnma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """c - a b, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fused(builder, a, builder.fneg(args[0]), args[1], args[2])

    return a(a, b, c), generate


@intrinsic
def fms(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b - c, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fused(builder, a, args[0], args[1], builder.fneg(args[2]))

    return a(a, b, c), generate


@intrinsic
def twice_minus(context: Any, a: Any, b: Any) -> Any:
    """2 a - b: of p = a + w c and a, the other one, a - w c."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        two = ir.Constant(_llvm_type(a), [2.0] * a.lanes)
        return _fused(builder, a, two, args[0], builder.fneg(args[1]))

    return a(a, b), generate


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
