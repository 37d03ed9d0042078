"""The question's own layer: one global depthwise convolution and nothing else."""

import torch
from torch import Tensor, nn

from globalconv.filters import FreeTaps
from globalconv.filters.free_taps import TapsInit
from globalconv.mixers.base import Mixer
from globalconv.ops import global_conv
from globalconv.ops.flops import global_conv_flops


class GlobalConv(Mixer):
    """y = h * x + d x: free taps h as long as the sequence and a skip weight d, per channel.

    No channel sees another and nothing depends on the content: the mixing matrix is the same for
    every input (circulant, or lower triangular Toeplitz when causal). The skip term is the one of
    S4 and its heirs (arXiv 2111.00396, D in equation 1). It starts at zero, not at their one: a
    residual block around the layer already carries x, and a second copy of it in every block would
    let the stream's variance grow geometrically with depth.

    Inputs shorter than ``length`` use the first taps only; longer ones see ``length`` lags back. In
    circular mode the period is the input's own length; of a padded row, the row's.
    """

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        init: TapsInit = "decay",
        backend: str | None = None,
    ) -> None:
        super().__init__(width, length, causal=causal)
        self.filter = FreeTaps(width, length, init=init, circular=not causal)
        self.skip = nn.Parameter(torch.zeros(width))
        self.backend = backend

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Convolve and add the skip term. x: (batch, length, width)."""
        self.check_input(x)
        taps = self.filter()[:, : x.shape[1]]
        return global_conv(x, taps, mode=self.mode, lengths=lengths, skip=self.skip, backend=self.backend)

    def flops(self, length: int) -> float:
        """The convolution and the skip term."""
        return global_conv_flops(length, self.length, self.width, mode=self.mode) + 2.0 * length * self.width
