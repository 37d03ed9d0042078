"""How Numba compiles the kernels' parts: the three sorts of functions, and what their cache depends on."""

import hashlib
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic

# No wrappers for calls from Python and C: they would be a third of what is compiled.
# Not forced inline: said, or a function would inherit it from the first one that calls it.
helper = numba.njit(
    forceinline=False, error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Called by kernels only."""

inline = numba.njit(error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""A part of whatever calls it."""

kernel = numba.cfunc(types.void(types.intp), cache=True, error_model="numpy")
"""A function of C that any thread may call, with one address; compiled where it is defined, and kept on disk."""


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


def digest_of_sources() -> int:
    """A number that changes with any file of this package.

    Numba's cache knows only whether the file of a kernel has changed, not those of the functions it calls;
    but a kernel's free variables are part of its key, and this is to be one of them.
    """
    files = sorted(Path(__file__).parent.glob("*.py"))
    return int.from_bytes(hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()[:7])
