"""The fused kernels as a backend: where they can run, and where something else is faster."""

import platform
from functools import lru_cache
from importlib.util import find_spec

import torch

from globalconv.ops.fused_cpu import compiled
from globalconv.ops.fused_cpu.operator import OPERATIONS
from globalconv.ops.graphs import surely, to_onnx
from globalconv.ops.interface import Backend, Facts


@lru_cache(maxsize=1)
def _obstacle() -> str | None:
    """What stands in the way of compiling here, as far as a glance tells."""
    try:
        import llvmlite.binding as llvm
        import numba
    except Exception as error:  # a broken install fails in any way it likes
        return f"Numba cannot be imported ({error}); pip install numba"
    if getattr(getattr(numba, "config", None), "DISABLE_JIT", False):
        return "Numba is told to compile nothing; unset NUMBA_DISABLE_JIT"
    if platform.machine().lower() in ("x86_64", "amd64") and not llvm.get_host_cpu_features().get("fma"):
        return "this processor has no fused multiply-add"
    try:
        from globalconv.ops.fused_cpu import launch  # noqa: F401
    except Exception as error:
        return f"its kernels cannot be prepared: {error}"
    return None


def _unavailable() -> str | None:
    if torch.compiler.is_exporting():
        # The graph may run elsewhere. And torch.export has put its own min, max and math.pow in the place of Python's:
        # Numba, imported or compiling now, would take them for these, and be of no use for the rest of the process.
        return None if find_spec("numba") else "Numba is not installed; pip install numba"
    return _obstacle() or compiled.obstacle()


def _unready(dtype: torch.dtype, gated: bool) -> str | None:
    if torch.compiler.is_exporting():
        return None
    try:
        compiled.kernel_address(dtype, gated)
    except compiled.NoKernel as error:
        return str(error)
    return None


# What torch.compiler.assume_constant_result does, without the second that it takes to import the compiler: tracing
# takes the answers instead of following the imports, and the compiling.
_unavailable._dynamo_marked_constant = True  # type: ignore[attr-defined]
_unready._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _refusal(facts: Facts) -> str | None:
    if to_onnx():
        return "ONNX does not know its operation"
    return None if facts.device == "cpu" else f"it computes on CPUs, not on '{facts.device}'"


# Where torch.fft is faster: medians over lengths and modes, forward and backward, measured in turns with as many taps
# as tokens (benchmarks/choose_backend.py; 2 channels: 0.46 of our time, 8: 0.96, 16 with few numbers: 0.92).
FEW_BYTES = 32
"""A position's channels up to which most lanes of a register would compute nothing: 8 in float32."""
FEW_NUMBERS = 8192
"""Batch x length x width below which the call itself takes longest, and torch's own is shorter."""


def _outrun(facts: Facts) -> str | None:
    if facts.width is None:
        return None
    if surely(facts.width * facts.dtype.itemsize <= FEW_BYTES):
        return f"no more than {FEW_BYTES // facts.dtype.itemsize} channels: too few to fill its vectors"
    if facts.batch is not None and surely(facts.batch * facts.length * facts.width < FEW_NUMBERS):
        return f"fewer than {FEW_NUMBERS} numbers in all: its call costs more than the work"
    return None


BACKEND = Backend(
    name="fused_cpu",
    merit="transform, product and inverse in one pass over memory, compiled for this processor by Numba",
    convolve=OPERATIONS.compute,
    fused=OPERATIONS.compute,
    unavailable=_unavailable,
    refusal=_refusal,
    outrun=_outrun,
    unready=_unready,
)
