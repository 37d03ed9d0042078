"""The common types: the mode, the facts of a problem, and the interface of a backend."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from globalconv.errors import InputError, unknown_name
from globalconv.ops.graphs import smaller

Mode = Literal["circular", "causal", "bidirectional"]
MODES: tuple[Mode, ...] = get_args(Mode)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Extras(NamedTuple):
    """The operands around a convolution: y = gate_out (h * u + skip u), with u = gate_in x.

    ``skip`` (D,) is one more tap at lag 0 per channel; the gates are (B, L, D), like x.
    """

    skip: Tensor | None = None
    gate_in: Tensor | None = None
    gate_out: Tensor | None = None


@dataclass(frozen=True)
class Facts:
    """The facts of a problem that are known before any tensor; the choice of a backend uses nothing else.

    ``device`` is the device type ("cpu", "cuda"), ``dtype`` is the compute dtype, and ``num_taps`` counts
    the taps that reach into the sequence. ``batch`` and ``width`` are None if they are unknown; then they
    count as large. So do all symbolic sizes of a compiled or exported graph (``ops.graphs``).
    """

    device: str
    dtype: torch.dtype
    length: int
    num_taps: int
    mode: Mode
    batch: int | None = None
    width: int | None = None


@dataclass(frozen=True)
class Backend:
    """One way to compute ``global_conv``.

    ``convolve(x, taps, mode)`` gets checked operands: x (B, L, D) and taps (G, K), both float32
    or both float64, on one device, D % G == 0, and no tap that cannot reach into the sequence (K <= L;
    bidirectional: an odd K <= 2L-1), except in graphs with a symbolic L, which cannot truncate taps outside mode
    circular. It returns a contiguous (B, L, D) in the same dtype that is not a view.
    ``fused(x, taps, mode, extras)``, if it exists, computes the extras in the same pass over memory; they
    have the dtype of x.

    The other four functions return a reason as a phrase, or None if there is none.
    ``unavailable``: why this machine cannot run the backend. ``refusal``: why the backend cannot compute a
    problem. ``outrun``: why a backend later in the order of preference is likely to be faster. These are
    called often and must be fast. ``unready(dtype, gated)`` is called only before a call of the operator: it prepares
    the first call of its kind, which may take seconds, and returns the reason if this fails.
    """

    name: str
    merit: str
    """One phrase for users: what the backend is, and its strength."""
    convolve: Callable[[Tensor, Tensor, Mode], Tensor]
    fused: Callable[[Tensor, Tensor, Mode, Extras], Tensor] | None = None
    unavailable: Callable[[], str | None] = lambda: None
    refusal: Callable[[Facts], str | None] = lambda facts: None
    outrun: Callable[[Facts], str | None] = lambda facts: None
    unready: Callable[[torch.dtype, bool], str | None] = lambda dtype, gated: None

    def compute(self, x: Tensor, taps: Tensor, mode: Mode, extras: Extras) -> Tensor:
        """The convolution with its extras."""
        if self.fused is not None:
            return self.fused(x, taps, mode, extras)
        return with_extras(lambda u: self.convolve(u, taps, mode), x, extras)


def with_extras(convolve: Callable[[Tensor], Tensor], x: Tensor, extras: Extras) -> Tensor:
    """``convolve`` with its extras, by plain products."""
    skip, gate_in, gate_out = extras
    inner = x if gate_in is None else gate_in * x
    y = convolve(inner)
    if skip is not None:
        y = torch.addcmul(y, skip, inner)
    return y if gate_out is None else gate_out * y


def facts_of(
    *,
    device: str,
    dtype: torch.dtype,
    length: int,
    num_taps: int,
    mode: Mode,
    batch: int | None = None,
    width: int | None = None,
) -> Facts:
    """The facts of a problem whose input has ``dtype``; raises InputError if they are impossible."""
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES)
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype} cannot be convolved: use one of {', '.join(map(str, DTYPES))}.")
    if length < 1 or num_taps < 1:
        raise InputError(f"length {length} with {num_taps} taps: both must be at least 1.")
    for name, number, least in (("batch", batch, 0), ("width", width, 1)):
        if number is not None and number < least:
            raise InputError(f"{name} {number}: it must be at least {least}, or None where it is not known.")
    if mode == "circular" and num_taps > length:
        raise InputError(
            f"mode 'circular' takes at most as many taps as the sequence is long: {num_taps} taps for "
            f"length {length}. Cut the filter to taps[..., :{length}], or use mode 'causal', which takes any."
        )
    if mode == "bidirectional" and num_taps % 2 == 0:
        raise InputError(
            f"mode 'bidirectional' takes an odd number of taps, 2K-1 for the lags -(K-1) to K-1, and "
            f"{num_taps} is even. Add a zero tap at the end that lacks one."
        )
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(
            f"unknown device '{device}'. Use a PyTorch device such as 'cpu' or 'cuda'."
        ) from error
    useful = most_taps(num_taps, length, mode)
    return Facts(kind, compute_dtype(dtype), length, useful, mode, batch, width)


def most_taps(num_taps: int, length: int, mode: Mode) -> int:
    """The number of taps that reach into the sequence."""
    return smaller(num_taps, 2 * length - 1 if mode == "bidirectional" else length)


def useful_taps(taps: Tensor, length: int, mode: Mode) -> Tensor:
    """(..., G, K) without the taps that cannot reach into the sequence."""
    num_taps = most_taps(taps.shape[-1], length, mode)
    # Bidirectional taps lose the same number at both ends, so that lag 0 stays in the middle.
    first = (taps.shape[-1] - num_taps) // 2 if mode == "bidirectional" else 0
    # Indexing is free if all taps are useful; narrow would cost a copy in the backward pass.
    return taps[..., first : first + num_taps]


def compute_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """The compute dtype: float64 if any operand has it, otherwise float32."""
    return torch.float64 if torch.float64 in dtypes else torch.float32
