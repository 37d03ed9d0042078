"""Tensors to addresses, and a call to a sheet of numbers that the kernel reads."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.ops.fused_cpu import kernels, leaves
from globalconv.ops.fused_cpu.compiled import NoKernel, kernel_address
from globalconv.ops.fused_cpu.kept import Kept
from globalconv.ops.fused_cpu.problem import Problem, problem
from globalconv.ops.fused_cpu.rows import buffer_bytes
from globalconv.ops.fused_cpu.spectra import Spectra
from globalconv.ops.fused_cpu.threads import together
from globalconv.ops.fused_cpu.transform import Plan, circular_plan, right_angle_plan
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES
from globalconv.ops.interface import Extras, Mode

STREAM_FROM_BYTES = 4 << 20
"""Results smaller than this stay in the caches, where the next layer finds them."""
WORTH_A_THREAD = 1 << 15
"""Numbers of a signal per thread: a hand-over costs some 20 us, and a core does about 500 numbers in one."""
REUSE_UP_TO_ROWS = 8
"""Rows of a batch up to which a filter's spectrum is kept for the next call: of three transforms in a row of
the batch, two are the signal's, so with more of them there is little to be gained."""
PLANS_BYTES = 32 << 20
"""What the plans that are kept may take, together; one for a million tokens takes 12 MB."""
SCRATCH_BYTES = 16 << 20
"""Scratch memory that is kept from call to call takes no more; with what is larger, a call works so long that memory
anew costs it little."""
MOST_SCRATCHES = 4
"""As many are kept as calls are likely to be under way at once, on threads of the caller's."""

Gradients = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Gradients of x, the taps, skip, gate_in and gate_out; None where one is not wanted."""


def convolve(x: Tensor, taps: Tensor, extras: Extras, mode: Mode, *, reuse: bool) -> Tensor:
    """y = gate_out (h * u + skip u), u = gate_in x. x (B, L, D), taps (G, K), one dtype; returns (B, L, D).

    ``reuse``: the same taps are likely to come again.
    """
    width = x.shape[2]
    skip, gate_in, gate_out = extras
    taps, skip = _filters(taps, skip, x)
    x = _whole_tiles(x)
    y = torch.empty(x.shape, dtype=x.dtype)
    tensors = {
        kernels.SIGNAL: x,
        kernels.SIGNAL_GATE: gate_in,
        kernels.RESULT: y,
        kernels.RESULT_GATE: gate_out,
    }
    call = _Call(mode, x, taps, skip, tensors)
    role = leaves.GO_DOWN | leaves.TIMES | leaves.GO_UP
    if reuse and x.shape[0] <= REUSE_UP_TO_ROWS and call.takes_kept_spectra():
        role |= kernels.SPECTRA_KEPT
    call.run(role)
    return _cut(y, width)


def differentiate(
    x: Tensor, taps: Tensor, extras: Extras, dy: Tensor, mode: Mode, wanted: tuple[bool, ...]
) -> Gradients:
    """The gradients of <dy, y> by every operand of ``convolve``, in one pass; ``wanted`` in that order."""
    groups, width = taps.shape[0], x.shape[2]
    by_x, by_taps, by_skip, by_gate_in, by_gate_out = wanted
    skip, gate_in, gate_out = extras
    lag_zero = taps.shape[1] // 2 if mode == "bidirectional" else 0
    taps, skip = _filters(taps, skip, x)
    x = _whole_tiles(x)
    by_inner, by_filter = by_x or by_gate_in, by_taps or by_skip
    dx = torch.empty(x.shape, dtype=x.dtype) if by_inner else None
    dgate_in = torch.empty(x.shape, dtype=x.dtype) if by_gate_in else None
    dgate_out = torch.empty(x.shape, dtype=x.dtype) if by_gate_out else None
    parts, shape = _parts(x), (x.shape[2], taps.shape[1])
    dfilter = None
    if (
        by_filter
    ):  # the result itself where it can be, so that there is memory for one filter and not for three
        dfilter = torch.empty(shape if parts == 1 else (parts, *shape), dtype=x.dtype)
    tensors = {
        kernels.SIGNAL: dy,
        kernels.SIGNAL_GATE: gate_out,
        kernels.OTHER: x,
        kernels.OTHER_GATE: gate_in,
        kernels.RESULT: dx,
        kernels.RESULT_GATE: gate_in,
        kernels.SECOND: dgate_in,
        kernels.THIRD: dgate_out,
    }
    role = leaves.GO_DOWN
    if by_inner:
        role |= leaves.TIMES_CONJUGATE | leaves.GO_UP
    if by_filter:
        role |= leaves.CORRELATE
    if by_gate_out:
        role |= kernels.RECOMPUTE
    by_parts = None if dfilter is None else dfilter.view(parts, *shape)
    _Call(mode, x, taps, skip, tensors, by_parts).run(role)
    dtaps = dskip = None
    if dfilter is not None:
        if parts > 1:
            dfilter = dfilter.sum(0)
        if len(dfilter) > width:
            dfilter = dfilter[:width].clone()
        dskip = dfilter[:, lag_zero].clone() if by_skip else None
        if by_taps:
            dtaps = dfilter if groups == width else dfilter.unflatten(0, (groups, -1)).sum(1)
    of_signals = (
        None if gradient is None or not asked else _cut(gradient, width)
        for gradient, asked in ((dx, by_x), (dgate_in, by_gate_in), (dgate_out, by_gate_out))
    )
    dx, dgate_in, dgate_out = of_signals
    return dx, dtaps, dskip, dgate_in, dgate_out


class _Call:
    """One call of the kernel: its operands as the kernel wants them, on the threads that torch would use."""

    def __init__(
        self,
        mode: Mode,
        x: Tensor,
        taps: Tensor,
        skip: Tensor | None,
        signals: Mapping[int, Tensor | None],
        gradient: Tensor | None = None,
    ) -> None:
        self.key = mode, x.shape[1], x.shape[2]  # what a filter's spectra depend on, beside the filter
        self.task: Problem = problem(mode, x.shape[1], taps.shape[1])
        self.plan = _plan(self.task, x.dtype)
        self.x, self.taps, self.skip = x, taps, skip
        # Kept until the kernel has run: some are copies, whose memory would else be free again.
        self.signals = {
            slot: tensor if tensor is None else _whole_tiles(tensor) for slot, tensor in signals.items()
        }
        self.gradient = gradient
        self.spectra: Tensor | None = None
        self.gated = any(self._slot(slot) is not None for slot in _GATES)

    def takes_kept_spectra(self) -> bool:
        """Take the filter's spectra from the last call with the same taps, or make them for the next one."""

        def make(spectra: Tensor) -> None:
            self.spectra = spectra
            self.run(kernels.SPECTRA_TO_KEEP, alone=True)

        needed = _tiles(self.x) * buffer_bytes(self.plan.rows) + REGISTER_BYTES
        self.spectra = _spectra.of(self.key, self.taps, self.skip, needed, make)
        return self.spectra is not None

    def run(self, role: int, *, alone: bool = False) -> None:
        """``kernels.work_through``; ``alone``: no signals, only the filter."""
        x, plan = self.x, self.plan
        batch, length, channels = x.shape
        batch = 0 if alone else batch
        circular = self.task.circular
        parts = 1 if alone else _parts(x)
        per_buffer = buffer_bytes(plan.rows)
        two_signals = bool(role & (leaves.CORRELATE | kernels.RECOMPUTE))
        units = _tiles(x) * parts
        numbers = channels * plan.rows if alone else x.numel() * (3 if two_signals else 1)
        shares = max(1, min(torch.get_num_threads(), units, numbers // WORTH_A_THREAD))
        scratch_apart = kernels.scratch_bytes(plan.rows, buffers=4 if two_signals else 2)
        sheet = [0] * kernels.SHEET
        sheet[kernels.ROWS], sheet[kernels.LENGTH], sheet[kernels.CIRCULAR] = plan.rows, length, circular
        sheet[kernels.TOP_IN_PASSING] = plan.first == 4 and (circular or length == plan.rows)
        sheet[kernels.CONSTANTS_AT] = plan.constants.ctypes.data
        sheet[kernels.TOP_AT], sheet[kernels.TOP_ROWS] = _table(plan.top)
        sheet[kernels.INNER_AT], sheet[kernels.INNER_ROWS] = _table(plan.inner)
        sheet[kernels.PLACES_AT], sheet[kernels.PLACES_ROWS] = _table(self.task.places)
        sheet[kernels.ROLE], sheet[kernels.CHANNELS], sheet[kernels.BATCH] = role, channels, batch
        sheet[kernels.PER_FILTER], sheet[kernels.PARTS] = channels // self.taps.shape[0], parts
        sheet[kernels.STREAMING], sheet[kernels.APART] = self._streaming(), per_buffer
        sheet[kernels.UNITS], sheet[kernels.SHARES] = units, shares
        scratch = _take_scratch(shares * scratch_apart + REGISTER_BYTES)
        sheet[kernels.SCRATCH_AT] = _aligned(scratch)
        sheet[kernels.SCRATCH_APART] = scratch_apart
        spectra = (0 if self.spectra is None else _aligned(self.spectra), per_buffer, 0)
        signals = (_place(self._slot(slot)) for slot in range(kernels.TAPS))
        tensors = (*signals, _row_place(self.taps), _row_place(self.skip), _place(self.gradient), spectra)
        sheet[kernels.FIRST_TENSOR :] = chain.from_iterable(tensors)
        written = np.array(sheet, np.int64)
        together(_kernel(x.dtype, self.gated), written.ctypes.data, shares)
        _put_back(scratch)

    def _slot(self, slot: int) -> Tensor | None:
        return self.signals.get(slot)

    def _streaming(self) -> bool:
        results = [self._slot(slot) for slot in (kernels.RESULT, kernels.SECOND, kernels.THIRD)]
        given = [result for result in results if result is not None]
        return bool(given) and all(map(_worth_streaming, given))


_GATES = (kernels.SIGNAL_GATE, kernels.OTHER_GATE, kernels.RESULT_GATE, kernels.SECOND, kernels.THIRD)
_spectra = Spectra()


def _table(table: NDArray[np.int64]) -> tuple[int, int]:
    return table.ctypes.data, len(table)


def _place(tensor: Tensor | None) -> tuple[int, int, int]:
    """Where a tensor lies, and its first two strides; in bytes."""
    if tensor is None:
        return 0, 0, 0
    size = tensor.element_size()
    return tensor.data_ptr(), tensor.stride(0) * size, tensor.stride(1) * size


def _row_place(tensor: Tensor | None) -> tuple[int, int, int]:
    """Where a tensor lies, and its first stride alone."""
    return (0, 0, 0) if tensor is None else (tensor.data_ptr(), tensor.stride(0) * tensor.element_size(), 0)


def _worth_streaming(result: Tensor) -> bool:
    aligned = not any(number % REGISTER_BYTES for number in _place(result))
    return aligned and result.numel() * result.element_size() >= STREAM_FROM_BYTES


def _whole_tiles(signal: Tensor) -> Tensor:
    """A signal as the kernels want it: channels side by side, and enough of them for a vector."""
    missing = _lanes(signal) - signal.shape[2]
    if missing > 0:
        return F.pad(signal, (0, missing))
    return signal if signal.stride(2) == 1 else signal.contiguous()


def _cut(result: Tensor, width: int) -> Tensor:
    """A result without its spare channels, in memory of its own: a view would be seen as one by autograd."""
    return (
        result
        if result.shape[2] == width
        else result[..., :width].clone(memory_format=torch.contiguous_format)
    )


def _filters(taps: Tensor, skip: Tensor | None, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Filters for ``_whole_tiles(x)``: its spare channels hold zeros, and need filters all the same."""
    width = x.shape[2]
    missing = _lanes(x) - width
    if skip is not None:
        skip = F.pad(skip, (0, max(missing, 0))).contiguous()
    if missing > 0:
        return F.pad(taps.repeat_interleave(width // taps.shape[0], dim=0), (0, 0, 0, missing)), skip
    return taps if taps.stride(1) == 1 else taps.contiguous(), skip


def _lanes(x: Tensor) -> int:
    return REGISTER_BYTES // x.element_size()


_plans: Kept[Plan] = Kept(PLANS_BYTES)


def _plan(task: Problem, dtype: torch.dtype) -> Plan:
    """The plan of a problem, its constants in the dtype that is computed in."""
    key = task.size, task.circular, dtype
    plan = _plans.get(key)
    if plan is None:
        plan = circular_plan(task.size) if task.circular else right_angle_plan(task.size)
        plan = replace(plan, constants=plan.constants.astype(_numpy_dtype(dtype)))
        _plans.put(key, plan, plan.constants.nbytes + plan.inner.nbytes)
    return plan


def _numpy_dtype(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float32 if dtype == torch.float32 else np.float64


def _tiles(x: Tensor) -> int:
    return -(-x.shape[2] // _lanes(x))


def _parts(x: Tensor) -> int:
    """Into how many parts the batch is cut so that the threads get equal shares of the tiles."""
    threads = torch.get_num_threads()
    return 1 if _tiles(x) % threads == 0 or _tiles(x) >= 4 * threads else min(threads, x.shape[0])


def _kernel(dtype: torch.dtype, gated: bool) -> int:
    try:
        return kernel_address(dtype, gated)
    except NoKernel as error:
        raise InputError(
            f"backend 'fused_cpu' cannot run this: {error}. Use backend=None, or 'spectral'."
        ) from error


# --- scratch memory -----------------------------------------------------------------------------------

_scratches: list[Tensor] = []


def _take_scratch(nbytes: int) -> Tensor:
    """Memory of the call's own until it is put back: another call may interrupt this one on the same thread."""
    try:
        memory = _scratches.pop()
    except IndexError:
        memory = None
    return torch.empty(nbytes, dtype=torch.uint8) if memory is None or len(memory) < nbytes else memory


def _put_back(memory: Tensor) -> None:
    if memory.nbytes <= SCRATCH_BYTES and len(_scratches) < MOST_SCRATCHES:
        _scratches.append(memory)


def _aligned(memory: Tensor) -> int:
    return -(-memory.data_ptr() // REGISTER_BYTES) * REGISTER_BYTES
