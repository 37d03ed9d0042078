"""Hyena-MR's filter: free taps under fixed exponential windows."""

import torch
from torch import Tensor

from globalconv.filters.free_taps import FreeTaps
from globalconv.filters.precision import places, wide
from globalconv.ops import Mode
from globalconv.ops.conventions import taps_that_reach

FASTEST, SLOWEST = 1.0, 0.01
"""The range of decay rates per tap, uniform on a log scale over the channels."""


class Windowed(FreeTaps):
    """h(s) exp(-r s), with ``taps`` free lags h and a fixed rate r for each channel: Hyena-MR (arXiv 2503.01868, 2.1).

    Unlike in the paper, a rate belongs to the filter and does not depend on the input length, so that a filter means
    the same for every input, and the taps are scaled to unit norm when they are drawn. The paper uses 128 taps, and 7
    for Hyena-SE (``filter=free,taps=7``).
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal", taps: int = 128) -> None:
        super().__init__(channels, length, mode=mode, init="flat", taps=taps)

    def reset_parameters(self) -> None:
        """Draw white noise of unit norm under the window."""
        super().reset_parameters()
        with torch.no_grad():
            self.taps.div_((self.taps * self._window()).norm(dim=1, keepdim=True))

    def _window(self) -> Tensor:
        channel = places(self.channels, like=self.taps) / max(self.channels - 1, 1)
        rates = FASTEST * (SLOWEST / FASTEST) ** channel
        return torch.exp(-rates[:, None] * self._distance(self.taps.device))

    def forward(self, length: int) -> Tensor:
        """See ``Filter``."""
        return taps_that_reach(wide(self.taps) * self._window(), length, self.mode)
