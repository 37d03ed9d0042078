"""Tensors to addresses, and the work to threads.

Threads are Python's own: the kernels hold no lock of the interpreter. Numba's parallel loops would bring
a threading layer that may not be entered from two threads (workqueue) or after a fork (GNU OpenMP).
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops.contract import Mode
from globalconv.ops.fused_cpu import kernels
from globalconv.ops.fused_cpu.problem import problem
from globalconv.ops.fused_cpu.transform import Plan
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES

STREAM_FROM_BYTES = 4 << 20
"""Results smaller than this stay in the caches, where the next layer finds them."""
WORTH_A_THREAD = 1 << 17
"""Numbers of a signal per thread: a hand-over costs some 20 us, and a core does about 500 numbers in one."""


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """h * x. x (B, L, D), taps (G, K), one dtype; returns (B, L, D)."""
    width = x.shape[2]
    x, taps = _whole_tiles(x), _filters(taps, x)
    y = torch.empty(x.shape, dtype=x.dtype)
    _launch(mode, kernels.GO_DOWN | kernels.TIMES | kernels.GO_UP, x, None, taps, y, None)
    return y[..., :width].contiguous()


def differentiate(
    x: Tensor, taps: Tensor, dy: Tensor, mode: Mode, *, by_x: bool, by_taps: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of <dy, h * x> by x (B, L, D) and by the taps (G, K), in one pass; None if not wanted."""
    groups, width = taps.shape[0], x.shape[2]
    x, dy, taps = _whole_tiles(x), _whole_tiles(dy), _filters(taps, x)
    dx = torch.empty(x.shape, dtype=x.dtype) if by_x else None
    dtaps = torch.empty((_parts(x), x.shape[2], taps.shape[1]), dtype=x.dtype) if by_taps else None
    role = kernels.GO_DOWN
    if dx is not None:
        role |= kernels.TIMES_CONJUGATE | kernels.GO_UP
    if dtaps is not None:
        role |= kernels.CORRELATE
    _launch(mode, role, dy, x, taps, dx, dtaps)
    if dx is not None:
        dx = dx[..., :width].contiguous()
    if dtaps is not None:
        dtaps = dtaps.sum(0)[:width].reshape(groups, width // groups, -1).sum(1)
    return dx, dtaps


def _launch(
    mode: Mode,
    role: int,
    signal: Tensor,
    other: Tensor | None,
    taps: Tensor,
    result: Tensor | None,
    gradient: Tensor | None,
) -> None:
    """``kernels.work_through``, over the threads."""
    batch, length, channels = signal.shape
    task = problem(mode, length, taps.shape[1])
    rows = task.plan.rows
    parts = _parts(signal)
    numbers = (
        rows,
        length,
        channels,
        batch,
        task.circular,
        task.plan.top == 4 and (task.circular or length == rows),
        result is not None and _worth_streaming(result),
        channels // taps.shape[0],
        parts,
    )
    shape = np.array(numbers, np.int64)
    taps_step = taps.stride(0) * taps.element_size()

    def work(units: tuple[int, int]) -> None:
        kernels.work_through(
            _in_dtype(task.plan, signal.dtype),
            task.plan.program,
            task.places,
            shape,
            role,
            *_place(signal),
            *_place(other),
            taps.data_ptr(),
            taps_step,
            *_place(result),
            *_place(gradient),
            units,
            _scratch(4 if gradient is not None else 2, rows),
        )

    work_numbers = signal.numel() * (3 if gradient is not None else 1)
    _over_threads(work, _tiles(signal) * parts, work_numbers)


def _place(tensor: Tensor | None) -> tuple[int, tuple[int, int]]:
    """Where a tensor lies, and its first two strides; in bytes."""
    if tensor is None:
        return 0, (0, 0)
    size = tensor.element_size()
    return tensor.data_ptr(), (tensor.stride(0) * size, tensor.stride(1) * size)


def _worth_streaming(result: Tensor) -> bool:
    address, strides = _place(result)
    aligned = not any(number % REGISTER_BYTES for number in (address, *strides))
    return aligned and result.numel() * result.element_size() >= STREAM_FROM_BYTES


def _whole_tiles(signal: Tensor) -> Tensor:
    """A signal as the kernels want it: channels side by side, and enough of them for a vector."""
    missing = _lanes(signal) - signal.shape[2]
    if missing > 0:
        return F.pad(signal, (0, missing))
    return signal if signal.stride(2) == 1 else signal.contiguous()


def _filters(taps: Tensor, x: Tensor) -> Tensor:
    """Filters for ``_whole_tiles(x)``: its spare channels hold zeros, and need filters all the same."""
    width = x.shape[2]
    missing = _lanes(x) - width
    if missing > 0:
        return F.pad(taps.repeat_interleave(width // taps.shape[0], dim=0), (0, 0, 0, missing))
    return taps if taps.stride(1) == 1 else taps.contiguous()


def _lanes(x: Tensor) -> int:
    return REGISTER_BYTES // x.element_size()


@lru_cache(maxsize=128)
def _in_dtype(tree: Plan, dtype: torch.dtype) -> NDArray[Any]:
    """A plan's constants in the dtype that is computed in."""
    return tree.constants.astype(np.float32 if dtype == torch.float32 else np.float64)


def _tiles(x: Tensor) -> int:
    return -(-x.shape[2] // _lanes(x))


def _parts(x: Tensor) -> int:
    """Into how many parts the batch is cut so that the threads get equal shares of the tiles."""
    threads = torch.get_num_threads()
    return 1 if _tiles(x) % threads == 0 or _tiles(x) >= 4 * threads else min(threads, x.shape[0])


# --- scratch memory and threads -----------------------------------------------------------------------

_own = threading.local()


def _scratch(buffers: int, rows: int) -> int:
    """The address of memory for ``buffers`` buffers of ``rows`` rows, kept from call to call; one per thread."""
    needed = buffers * kernels.buffer_bytes(rows) + REGISTER_BYTES
    memory: NDArray[np.uint8] | None = getattr(_own, "memory", None)
    if memory is None or len(memory) < needed:
        memory = _own.memory = np.empty(needed, np.uint8)
    return -(-memory.ctypes.data // REGISTER_BYTES) * REGISTER_BYTES


def _over_threads(work: Callable[[tuple[int, int]], None], units: int, numbers: int) -> None:
    """``work`` on the ranges of units, one range per thread; the calling thread takes the first."""
    threads = max(1, min(torch.get_num_threads(), units, numbers // WORTH_A_THREAD))
    edges = [units * k // threads for k in range(threads + 1)]
    ranges = list(pairwise(edges))
    others = [_pool().submit(work, units) for units in ranges[1:]] if threads > 1 else []
    work(ranges[0])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="globalconv")


# The threads of a pool do not survive a fork: a child makes its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
