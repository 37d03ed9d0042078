"""Threads that work off one call together: PyTorch's own, where they are OpenMP's and this is no forked child.

A pool of our own would meet PyTorch's threads on the cores: those wait for their next work by running idle.
Every OpenMP runtime that PyTorch is built with (GNU's, LLVM's, Intel's) has ``GOMP_parallel``, GNU's name for
"run this function on a team of so many threads", and we ask the very library that PyTorch was linked with. In
a child of a fork GNU's threads are gone and its runtime does not know it, so there, and where PyTorch has no
OpenMP, the threads are Python's: a function of C, called through ctypes, holds no lock of the interpreter.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

Parallel = Callable[[int, int, int, int], None]
"""Address of a function of C, address of its argument, number of threads, flags."""

_Work = ctypes.CFUNCTYPE(None, ctypes.c_ssize_t)
_forked = False


def together(function: int, argument: int, shares: int) -> None:
    """Call ``function(argument)``, both addresses, on up to ``torch.get_num_threads()`` threads at once.

    For the one share of work that a single thread does, on this one. The function must see for itself that
    each share is done once; it may be called more often than there are shares, or less often.
    """
    if shares == 1:
        _Work(function)(argument)
        return
    parallel = None if _forked else _openmp()
    if parallel is None:
        wait_for = []
        with suppress(RuntimeError):  # while the interpreter shuts down there are no threads to be had
            wait_for = [_pool().submit(_Work(function), argument) for _ in range(shares - 1)]
        _Work(function)(argument)
        wait(wait_for)
    else:
        # All threads, also where fewer shares are there: OpenMP ends those that a team does without.
        parallel(function, argument, torch.get_num_threads(), 0)


@lru_cache(maxsize=1)
def _openmp() -> Parallel | None:
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            # Looked for also in what it is linked with.
            parallel = ctypes.CDLL(str(folder / name)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="globalconv")


def _in_a_child() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()  # the threads of a pool do not survive a fork: a child makes its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_child)
