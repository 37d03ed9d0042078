"""How Numba compiles the kernels' parts: the three sorts of functions, and the machine code of a kernel."""

from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

# No wrappers for calls from Python and C: they would be a third of what is compiled.
# Not forced inline: said, or a function would inherit it from the first one that calls it.
helper = numba.njit(
    forceinline=False, error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Called by kernels only."""

inline = numba.njit(error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""A part of whatever calls it."""

kernel = numba.cfunc(types.void(types.intp), error_model="numpy")
"""A function of C that any thread may call, with one address; compiled where it is defined."""


@intrinsic
def not_inlined(context: Any) -> Any:
    """Keep the function this stands in as one function: the compiler would else write it out in all its callers.

    It works through everything below a function with every function, so that takes longest in the first call.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def variable(context: Any, number: Any) -> Any:
    """A number whose type does not tell its value.

    Numba types a constant argument by its value, and compiles the function that is called anew for each.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[0], number, types.int64)

    return types.int64(number), generate


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """An address as ``numba.carray`` wants it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@intrinsic
def take_number(context: Any, address: Any) -> Any:
    """Count up the number at an address, and return what it was: no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        counter = builder.inttoptr(args[0], context.get_value_type(types.int64).as_pointer())
        return builder.atomic_rmw("add", counter, context.get_constant(types.int64, 1), "monotonic")

    return types.int64(types.int64), generate


def compiler() -> tuple[object, ...]:
    """All that machine code depends on beside its source: versions, processor, features."""
    return numba.__version__, llvmlite.__version__, *cpu_target.target_context.codegen().magic_tuple()


def machine_code(kernel: Any) -> tuple[bytes, ...]:
    """A kernel for ``loaded``, in this process or another: its name, the names that it calls, and its code."""
    module = llvm.parse_assembly(kernel.inspect_llvm())
    wanted = [item.name for item in (*module.functions, *module.global_variables) if item.is_declaration]
    wanted = [symbol for symbol in wanted if not symbol.startswith("llvm.")]
    return kernel.native_name.encode(), "\n".join(wanted).encode(), kernel._library._get_compiled_object()


def loaded(parts: tuple[bytes, ...]) -> int:
    """The address of the kernel that ``machine_code`` was taken of. Raises if this process lacks what it calls.

    Each has an engine of its own. Numba numbers the functions below a kernel in the order of their compilation, and
    of two with one name, compiled in two processes, the linker of a common engine would take the first for both.
    """
    name, wanted, code = parts
    cpu_target.target_context.refresh()  # whereupon Numba's runtime is there, as it is after compiling
    if missing := [symbol for symbol in wanted.decode().splitlines() if not llvm.address_of_symbol(symbol)]:
        raise LookupError(f"no {missing[0]}")  # which LLVM would end the process for
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True, codemodel="jitdefault")
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    address: int = engine.get_function_address(name.decode())
    return address


_engines: list[Any] = []
"""In whose memory the kernels lie."""
