"""Tiles of online convolution: the contribution of a block of inputs to the outputs right after it.

A tile of size U adds the inputs x[i-U .. i-1] to the outputs y[i .. i+U-1]:

    y[i + k] += sum_{m < U} h[k + m + 1] x[i - 1 - m],    0 <= k < U

So it covers the lags 1 to 2U-1. A circular convolution of length 2U is enough: with the block first and zeros after
it, wrapped terms end at position U-2, and the required sums are at U to 2U-1.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops import choose_backend, global_conv

Tile = Callable[[Tensor], Tensor]
"""A block of inputs (batch, U, width) -> its contribution to the next U outputs, in the same shape."""
OPERATOR_FROM = 1024
"""From this size on the fused operator was faster than torch.fft with the filter's transform kept (1.3 times at 1024,
2.7 at 16384; width 256); its calls take 0.2 ms at any size, and a small tile with torch.fft 0.06 ms."""


def tile_of(taps: Tensor, size: int, *, backend: str | None) -> Tile:
    """The tile of ``size`` for ``taps`` (width, K), float32 or float64; lags from K on are zero.

    ``backend``: the operator's backend for every size; "spectral" keeps the filter's transform. None: the faster one.
    """
    met = F.pad(taps[:, : 2 * size], (0, max(0, 2 * size - taps.shape[1])))
    if backend is None:
        chosen = choose_backend(
            device=taps.device.type, dtype=taps.dtype, length=2 * size, num_taps=2 * size, mode="circular"
        ).name
        backend = "fused_cpu" if chosen == "fused_cpu" and size >= OPERATOR_FROM else "spectral"
    return _spectral(met) if backend == "spectral" else _by_operator(met, backend)


def _spectral(taps: Tensor) -> Tile:
    n = taps.shape[1]
    spectrum = torch.fft.rfft(taps)

    def tile(block: Tensor) -> Tensor:
        y = torch.fft.irfft(torch.fft.rfft(block.mT, n=n).mul_(spectrum), n=n)
        return y[..., n // 2 :].mT

    return tile


def _by_operator(taps: Tensor, backend: str) -> Tile:
    half = taps.shape[1] // 2

    def tile(block: Tensor) -> Tensor:
        padded = F.pad(block, (0, 0, 0, half))
        return global_conv(padded, taps, mode="circular", backend=backend)[:, half:]

    return tile
