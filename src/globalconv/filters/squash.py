"""LongConv's filter: free taps whose small values are set to zero."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.filters.free_taps import FreeTaps, TapsInit
from globalconv.filters.precision import wide
from globalconv.ops import Mode


class Squashed(FreeTaps):
    """sign(h) relu(|h| - threshold), then dropout, of free taps h: arXiv 2302.06646, section 3.2.

    ``threshold`` is relative to the root mean square of the initial taps; in their code it is an absolute
    number for taps of another size. The taps are scaled to unit norm after the threshold.
    """

    cut: Tensor

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        init: TapsInit = "decay",
        threshold: float = 0.5,
        dropout: float = 0.0,
    ) -> None:
        if not (0 <= threshold < 1 and 0 <= dropout < 1):
            raise InputError(
                f"threshold {threshold} and dropout {dropout}: use numbers of at least 0 and below 1."
            )
        self.threshold = threshold
        self.dropout = dropout
        super().__init__(channels, length, mode=mode, init=init)

    def reset_parameters(self) -> None:
        """Draw the taps so that they have unit norm after the threshold."""
        super().reset_parameters()
        with torch.no_grad():
            cut = self.threshold * self.taps.square().mean(dim=1, keepdim=True).sqrt()
            left = (self.taps.abs() - cut).clamp_min(0).norm(dim=1, keepdim=True)
            self.taps.div_(left)
            self.register_buffer("cut", cut / left)

    def forward(self, length: int) -> Tensor:
        """See ``Filter``."""
        taps = wide(super().forward(length))
        taps = taps - taps.clamp(-self.cut, self.cut)
        return F.dropout(taps, self.dropout, training=self.training) if self.dropout else taps

    def extra_repr(self) -> str:
        """Size, mode and threshold."""
        return f"{super().extra_repr()}, threshold={self.threshold}, dropout={self.dropout}"
