"""The convolution theorem: a product of spectra with ``torch.fft``, on any device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.ops.graphs import known, part
from globalconv.ops.interface import Backend, Mode


def convolve(x: Tensor, taps: Tensor, mode: Mode) -> Tensor:
    """The values of the direct sum in about L log L steps per channel, as ``Backend.convolve`` requires.

    Each channel of each row is transformed separately, so NaN and inf do not spread to others. They spread along
    the length, and in causal mode the future leaks into the past by rounding (1e-7 of its size).
    """
    length, num_taps = x.shape[1], taps.shape[1]
    first = num_taps // 2 if mode == "bidirectional" else 0
    # Long enough that wrapped values do not reach first .. first + length - 1, the part that is kept.
    n = length if mode == "circular" else _transform_length(length + num_taps - 1 - first)
    filters = _spectrum(taps, n)
    if taps.shape[0] != x.shape[2]:
        served_by = torch.arange(x.shape[2], device=x.device) // (x.shape[2] // taps.shape[0])
        filters = filters.index_select(0, served_by)
    # Transposed once each way: along dim=1 each of a training step's transforms, most of them in the
    # backward pass, would gather strided values by itself, and the step was measured slower.
    y = part(_signal(_spectrum(x.transpose(1, 2), n) * filters, n), 2, first, length)
    # A copy even if one channel or token makes it contiguous already: the result must not be a view.
    return y.transpose(1, 2).clone(memory_format=torch.contiguous_format)


def _spectrum(signals: Tensor, n: int) -> Tensor:
    if not known(n):  # to be padded by the transform, it would ask whether n is longer
        signals = F.pad(signals, (0, n - signals.shape[-1]))
    transform = torch.fft.rfft if _by_halves(n) else torch.fft.fft
    return transform(signals, n=n if known(n) else None)


def _signal(spectra: Tensor, n: int) -> Tensor:
    return torch.fft.irfft(spectra, n=n) if _by_halves(n) else torch.fft.ifft(spectra).real


def _by_halves(n: int) -> bool:
    """Whether to omit the redundant half of a spectrum: not in exported graphs with symbolic lengths.

    There torch.export cannot prove that n/2 + 1 numbers give n, and ONNX Runtime assumes that half a spectrum
    is as long as its signal.
    """
    return known(n) or not torch.compiler.is_exporting()


def _transform_length(at_least: int) -> int:
    """A fast length if ``at_least`` is a number; else a multiple of 64, of which a formula is enough."""
    if known(at_least):
        return next_fast_length(at_least)
    n = (at_least + 63) // 64 * 64
    return int(n) if known(n) else n  # a number, where the bounds of an open length leave only one


def next_fast_length(at_least: int) -> int:
    """The least even n >= ``at_least`` with no prime factor above 5.

    Even, unlike scipy.fft.next_fast_len: a real transform of even length is a complex one of half the
    length, and the odd lengths in between were measured slower (75 than 80, 375 than 384; MKL).
    """
    best = 2
    while best < at_least:
        best *= 2
    power5 = 2
    while power5 < best:
        n35 = power5
        while n35 < best:
            n = n35
            while n < at_least:
                n *= 2
            best = min(best, n)
            n35 *= 3
        power5 *= 5
    return best


def _unavailable() -> str | None:
    return None if torch._C.has_spectral else "this build of PyTorch has no FFT"


BACKEND = Backend(
    name="spectral",
    merit="the product of spectra by torch.fft; its cost hardly grows with the number of taps",
    convolve=convolve,
    unavailable=_unavailable,
)
