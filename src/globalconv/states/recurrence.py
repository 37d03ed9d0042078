"""A convolution with a sum of exponentials, as a recurrence: a token costs the same however many came before."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops import global_conv
from globalconv.ops.graphs import known
from globalconv.ops.interface import compute_dtype
from globalconv.states.state import MixerState, undifferentiated

BLOCK = 64
"""z^s is made of z^(64 q) and z^r, a product of two small tables."""


def powers(log_poles: Tensor, weights: Tensor, num: int) -> Tensor:
    """Re sum_n c_n z_n^s for s = 0 .. num - 1, (..., num), from log z and c, both (..., order), complex or real."""
    near, step = _geometric(log_poles.exp(), BLOCK)
    if known(num):
        far = _geometric(step, (num + BLOCK - 1) // BLOCK)[0]
    else:
        blocks = num // BLOCK + 2  # never 1, for which torch.export makes a graph of its own
        far = torch.exp(log_poles[..., None] * (BLOCK * torch.arange(blocks, device=log_poles.device)))
    far = far * weights[..., None]
    if far.is_complex() or near.is_complex():
        # Re (a b) = Re a Re b - Im a Im b, as one product of real matrices.
        far = torch.cat([far.real, -far.imag], dim=-2)
        near = torch.cat([near.real, near.imag], dim=-2)
    table = far.transpose(-1, -2) @ near
    if known(num):
        return table.flatten(-2)[..., :num]
    place = torch.arange(num, device=table.device)
    return table[..., place // BLOCK, place % BLOCK]


def _geometric(ratio: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """(..., num): 1, r, r^2, ...; and the power of r that comes next where ``num`` is a power of two.

    By doubling, which is faster than exponentials and not less exact.
    """
    row, step = torch.ones_like(ratio)[..., None], ratio
    while row.shape[-1] < num:
        row = torch.cat([row, row * step[..., None]], dim=-1)
        step = step * step
    return row[..., :num], step


class Recurrence(MixerState):
    """y[t] = Re sum_n c_n u_n[t] + d x[t], where u_n[t] = z_n u_n[t-1] + x[t].

    ``log_poles`` and ``weights`` (G, order) are log z and c, shared by channels side by side where G < width; ``skip``
    (width,) is d. Keeps u, (batch, width, order), whatever ``longest`` is. It equals the causal convolution with taps
    ``powers(log_poles, weights, K)``, K >= longest, to rounding. ``dtype``: of the inputs, where another is refused.
    """

    def __init__(
        self,
        log_poles: Tensor,
        weights: Tensor,
        *,
        batch: int,
        longest: int,
        width: int,
        skip: Tensor | None = None,
        backend: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(width=width, batch=batch, longest=longest, dtype=dtype)
        self.backend = backend
        share = width // len(log_poles)
        with undifferentiated():
            wide = torch.complex128 if weights.real.dtype == torch.float64 else torch.complex64
            if not (log_poles.is_complex() or weights.is_complex()):
                wide = compute_dtype(weights.dtype)
            self.log_poles = log_poles.detach().to(wide)
            self.weights = weights.detach().to(wide)
            self.poles = self.log_poles.exp().repeat_interleave(share, dim=0)
            self.each_weight = self.weights.repeat_interleave(share, dim=0)
            self.skip = None if skip is None else skip.detach()
            self.sums = self.poles.new_zeros(batch, width, self.poles.shape[1])

    def _prefill(self, x: Tensor) -> Tensor:
        taps = powers(self.log_poles, self.weights, x.shape[1])
        # The sums that these inputs leave, a block at a time: the last block ends with the last input.
        given = F.pad(x.to(self.sums.real.dtype), (0, 0, -x.shape[1] % BLOCK, 0)).unflatten(1, (-1, BLOCK))
        lags = torch.arange(BLOCK - 1, -1, -1, device=x.device)
        within = self.poles[..., None] ** lags  # (width, order, BLOCK)
        over = self.poles**BLOCK
        for block in given.unbind(1):
            met = torch.einsum("bsd,dns->bdn", block.to(within.dtype), within)
            self.sums = self.sums * over + met
        return global_conv(x, taps, mode="causal", skip=self.skip, backend=self.backend)

    def _step(self, x: Tensor) -> Tensor:
        given = x.to(self.sums.real.dtype)
        self.sums = self.sums * self.poles + given[..., None]
        y = (self.sums * self.each_weight).sum(-1).real
        if self.skip is not None:
            y = y + self.skip * given
        return y.to(x.dtype)

    def _keep(self, rows: Tensor) -> None:
        self.sums = self.sums[rows]

    def numbers(self) -> int:
        return self.sums.numel() * (2 if self.sums.is_complex() else 1)

    def flops(self) -> float:
        """Two products and two sums for each exponential, complex ones of 6 and 2 flops, and the skip term."""
        each = 6 + 2 + 4 if self.sums.is_complex() else 4
        return self.width * (each * self.sums.shape[2] + (0 if self.skip is None else 2.0))
