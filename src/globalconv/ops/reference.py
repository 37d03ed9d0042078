"""The direct sum: the definition of the operator, one lag at a time. Every other backend is tested against it.

It only pads, multiplies and adds. So it runs in any precision on any device, its derivatives of every
order are those of the formula, and the derivative with respect to the future is exactly zero.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.ops.graphs import surely
from globalconv.ops.interface import Backend, Facts, Mode

# The most taps at which the direct sum is not slower than either transform on a CPU: the medians over lengths,
# widths and batches, forward and backward together, of benchmarks/results/choose_backend.json (by
# benchmarks/choose_backend.py). Forward alone they differ by one or two taps, so the pass is not a parameter.
MOST_TAPS: dict[Mode, int] = {"circular": 3, "causal": 3, "bidirectional": 3}


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """y[t] = sum over lags s of h[s] x[t-s], as ``Backend.convolve`` requires, with 2 L K flops per channel."""
    length, num_taps = x.shape[1], taps.shape[1]
    taps = taps.repeat_interleave(x.shape[2] // taps.shape[0], dim=0)
    # With num_taps - 1 values around x, lag number j reads the window that starts at num_taps - 1 - j.
    around = _surround(x, num_taps - 1, mode)
    y = taps[:, 0] * around[:, num_taps - 1 :][:, :length]
    for j in range(1, num_taps):
        start = num_taps - 1 - j
        y = torch.addcmul(y, taps[:, j], around[:, start : start + length])
    return y


def _surround(x: Tensor, extra: int, mode: Mode) -> Tensor:
    """x (B, L, D) with ``extra`` values around it along the length, according to the mode."""
    if mode == "circular":
        return torch.cat([x[:, x.shape[1] - extra :], x], dim=1)
    after = extra // 2 if mode == "bidirectional" else 0
    return F.pad(x, (0, 0, extra - after, after))


def _outrun(facts: Facts) -> str | None:
    if facts.device != "cpu":
        return f"where it beats the FFT has been measured on CPUs only, not on '{facts.device}'"
    most = MOST_TAPS[facts.mode]
    if surely(facts.num_taps <= most):
        return None
    return f"more than {most} taps: a transform was measured faster ({facts.mode}, CPU)"


BACKEND = Backend(
    name="reference",
    merit="the direct sum, the definition itself; the fastest for a handful of taps",
    convolve=convolve,
    outrun=_outrun,
)
