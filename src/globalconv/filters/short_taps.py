"""A short convolution in front of a mixer, which combines neighbouring tokens, or none."""

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.filters.base import Filter
from globalconv.filters.free_taps import FreeTaps
from globalconv.ops import Integers, Mode
from globalconv.states import MixerState


def short_filter(channels: int, taps: int, length: int, *, mode: Mode) -> Filter:
    """``taps`` free taps for each channel that start as the identity and look back; 0 means no convolution.

    ``mode`` is that of the mixer: the taps wrap around only in mode circular, so that the mixer stays equivariant to
    shifts. Raises InputError for a negative number.
    """
    if taps < 0:
        raise InputError(f"short_taps {taps}: use 0 for no short convolution, or a small number such as 3.")
    one_sided: Mode = "circular" if mode == "circular" else "causal"
    if taps == 0:
        return NoTaps(channels, length, mode=one_sided)
    return FreeTaps(channels, min(taps, length), mode=one_sided, init="identity")


class NoTaps(Filter):
    """A placeholder for a filter if there is no convolution."""

    def forward(self, length: int) -> Tensor:
        """1 at lag 0."""
        return torch.ones(self.channels, 1)

    def convolve(self, x: Tensor, *, lengths: Integers | None = None, backend: str | None = None) -> Tensor:  # type: ignore[override]
        """Return ``x``."""
        return x

    def flops(self, length: int, width: int) -> float:
        """Zero."""
        return 0.0

    def begin(
        self, *, width: int, batch: int, longest: int, skip: Tensor | None, backend: str | None
    ) -> MixerState:
        """See ``Filter``."""
        return _Unchanged(width=width, batch=batch, longest=longest, dtype=None)


class _Unchanged(MixerState):
    def _prefill(self, x: Tensor) -> Tensor:
        return x

    def _step(self, x: Tensor) -> Tensor:
        return x

    def _keep(self, rows: Tensor) -> None:
        pass

    def numbers(self) -> int:
        return 0

    def flops(self) -> float:
        return 0.0
