"""Tensors to addresses, and a call to the sheet that the kernel reads."""

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.ops.fused_cpu import roles
from globalconv.ops.fused_cpu.compiled import NoKernel, kernel_address
from globalconv.ops.fused_cpu.kept import Kept
from globalconv.ops.fused_cpu.kernels import scratch_bytes
from globalconv.ops.fused_cpu.problem import Problem, problem
from globalconv.ops.fused_cpu.rows import buffer_bytes
from globalconv.ops.fused_cpu.sheet import Sheet, Signal, Table
from globalconv.ops.fused_cpu.spectra import Spectra
from globalconv.ops.fused_cpu.threads import together
from globalconv.ops.fused_cpu.transform import Node, Plan, plan_of
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES
from globalconv.ops.interface import Mode
from globalconv.ops.native.operations import Extra

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


def convolve(
    x: Tensor, taps: Tensor, skip: Extra, gate_in: Extra, gate_out: Extra, mode: Mode, reuse: bool
) -> Tensor:
    """As ``native.operations.Convolve`` asks."""
    width = x.shape[2]
    taps, skip = _filters(taps, skip, x)
    x = _whole_tiles(x)
    y = torch.empty(x.shape, dtype=x.dtype)
    signals = {"signal": x, "signal_gate": gate_in, "result": y, "result_gate": gate_out}
    call = _Call(mode, x, taps, skip, signals)
    role = roles.GO_DOWN | roles.TIMES | roles.GO_UP
    if reuse and x.shape[0] <= REUSE_UP_TO_ROWS and call.takes_kept_spectra():
        role |= roles.SPECTRA_KEPT
    call.run(role)
    return _cut(y, width)


def differentiate(
    x: Tensor,
    taps: Tensor,
    skip: Extra,
    gate_in: Extra,
    gate_out: Extra,
    dy: Tensor,
    mode: Mode,
    wanted: list[bool],
) -> tuple[Tensor | None, ...]:
    """As ``native.operations.Differentiate`` asks, in one pass."""
    groups, width = taps.shape[0], x.shape[2]
    by_x, by_taps, by_skip, by_gate_in, by_gate_out = wanted
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
    signals = {
        "signal": dy,
        "signal_gate": gate_out,
        "other": x,
        "other_gate": gate_in,
        "result": dx,
        "result_gate": gate_in,
        "gate_in_gradient": dgate_in,
        "gate_out_gradient": dgate_out,
    }
    role = roles.GO_DOWN
    if by_inner:
        role |= roles.TIMES_CONJUGATE | roles.GO_UP
    if by_filter:
        role |= roles.CORRELATE
    if by_gate_out:
        role |= roles.RECOMPUTE
    by_parts = None if dfilter is None else dfilter.view(parts, *shape)
    _Call(mode, x, taps, skip, signals, by_parts).run(role)
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
        signals: dict[str, Tensor | None],
        gradient: Tensor | None = None,
    ) -> None:
        """``signals``: by their names on the sheet."""
        self.key = mode, x.shape[1], x.shape[2]  # what a filter's spectra depend on, beside the filter
        self.task: Problem = problem(mode, x.shape[1], taps.shape[1])
        self.plan = _plan(self.task.root, x.dtype)
        self.x, self.taps, self.skip = x, taps, skip
        # Kept until the kernel has run: some are copies, whose memory would else be free again.
        self.signals = {name: _whole_tiles(tensor) for name, tensor in signals.items() if tensor is not None}
        self.gradient = gradient
        self.spectra: Tensor | None = None

    def takes_kept_spectra(self) -> bool:
        """Take the filter's spectra from the last call with the same taps, or make them for the next one."""

        def make(spectra: Tensor) -> None:
            self.spectra = spectra
            self.run(roles.SPECTRA_TO_KEEP, alone=True)

        needed = _tiles(self.x) * buffer_bytes(self.plan.rows) + REGISTER_BYTES
        self.spectra = _spectra.of(self.key, self.taps, self.skip, needed, make)
        return self.spectra is not None

    def run(self, role: int, *, alone: bool = False) -> None:
        """``kernels.work_through``; ``alone``: no signals, only the filter."""
        x, plan, taps, gradient = self.x, self.plan, self.taps, self.gradient
        batch, length, channels = x.shape
        item = x.element_size()
        circular = self.task.root.turns is None
        parts = 1 if alone else _parts(x)
        two_signals = bool(role & (roles.CORRELATE | roles.RECOMPUTE))
        units = _tiles(x) * parts
        numbers = channels * plan.rows if alone else x.numel() * (3 if two_signals else 1)
        shares = max(1, min(torch.get_num_threads(), units, numbers // WORTH_A_THREAD))
        scratch_step = scratch_bytes(plan.rows, buffers=4 if two_signals else 2)
        scratch = _take_scratch(shares * scratch_step + REGISTER_BYTES)
        per_buffer = buffer_bytes(plan.rows)
        sheet = Sheet(
            role=role,
            rows=plan.rows,
            circular=circular,
            top_in_passing=plan.first == 4 and (circular or length == plan.rows),
            constants_at=plan.constants.ctypes.data,
            top=_table(plan.top),
            inner=_table(plan.inner),
            segments=_table(self.task.segments),
            batch=0 if alone else batch,
            length=length,
            channels=channels,
            per_filter=channels // taps.shape[0],
            parts=parts,
            streaming=self._streaming(),
            units=units,
            shares=shares,
            scratch_at=_aligned(scratch),
            scratch_step=scratch_step,
            buffer_step=per_buffer,
            taps_at=taps.data_ptr(),
            taps_step=taps.stride(0) * item,
            skip_at=0 if self.skip is None else self.skip.data_ptr(),
            gradient_at=0 if gradient is None else gradient.data_ptr(),
            gradient_part_step=0 if gradient is None else gradient.stride(0) * item,
            gradient_step=0 if gradient is None else gradient.stride(1) * item,
            spectra_at=0 if self.spectra is None else _aligned(self.spectra),
            spectra_step=per_buffer,
            **{
                name: Signal(signal.data_ptr(), signal.stride(0) * item, signal.stride(1) * item)
                for name, signal in self.signals.items()
            },
        )
        together(_kernel(x.dtype, not _GATES.isdisjoint(self.signals)), ctypes.addressof(sheet), shares)
        _put_back(scratch)

    def _streaming(self) -> bool:
        results = [signal for name, signal in self.signals.items() if name in _RESULTS]
        return bool(results) and all(map(_worth_streaming, results))


_RESULTS = ("result", "gate_in_gradient", "gate_out_gradient")
_GATES = {"signal_gate", "other_gate", "result_gate", "gate_in_gradient", "gate_out_gradient"}
_spectra = Spectra()


def _table(records: NDArray[np.void]) -> Table:
    return Table(records.ctypes.data, len(records))


def _worth_streaming(result: Tensor) -> bool:
    item = result.element_size()
    steps = result.data_ptr(), result.stride(0) * item, result.stride(1) * item
    return result.numel() * item >= STREAM_FROM_BYTES and not any(step % REGISTER_BYTES for step in steps)


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


def _plan(root: Node, dtype: torch.dtype) -> Plan:
    """The plan of a tree, its constants in the dtype that is computed in."""
    key = root, dtype
    plan = _plans.get(key)
    if plan is None:
        plan = plan_of(root)
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
