"""The fused kernels as a backend: where they can run, and where something else is faster."""

import platform
from functools import lru_cache

import torch

from globalconv.ops.contract import Backend, Facts
from globalconv.ops.fused_cpu.operator import convolve, fused


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@lru_cache(maxsize=1)
def _unavailable() -> str | None:
    try:
        import llvmlite.binding as llvm
        import numba  # noqa: F401
    except Exception as error:  # a broken install fails in any way it likes
        return f"Numba cannot be imported ({error}); pip install numba"
    if platform.machine().lower() in ("x86_64", "amd64") and not llvm.get_host_cpu_features().get("fma"):
        return "this processor has no fused multiply-add"
    try:
        from globalconv.ops.fused_cpu import launch  # noqa: F401
    except Exception as error:
        return f"its kernels cannot be prepared: {error}"
    return None


def _refusal(facts: Facts) -> str | None:
    return None if facts.device == "cpu" else f"it computes on CPUs, not on '{facts.device}'"


BACKEND = Backend(
    name="fused_cpu",
    merit="transform, product and inverse in one pass over memory, compiled for this processor by Numba",
    convolve=convolve,
    fused=fused,
    unavailable=_unavailable,
    refusal=_refusal,
)
