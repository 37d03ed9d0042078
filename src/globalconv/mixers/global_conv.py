"""The question's own layer: one global depthwise convolution and nothing else."""

import torch
from torch import Tensor, nn

from globalconv.filters import FreeTaps
from globalconv.filters.free_taps import TapsInit
from globalconv.mixers.base import Mixer, check_num_filters
from globalconv.ops import Integers, Mode, global_conv
from globalconv.ops.conventions import taps_for, taps_that_reach
from globalconv.ops.flops import global_conv_flops
from globalconv.states import OnlineConvolution


class GlobalConv(Mixer):
    """y = h * x + d x: free taps h as long as the sequence and a skip weight d, per channel.

    No channel sees another and nothing depends on the content: the mixing matrix is the same for
    every input (circulant, or lower triangular Toeplitz when causal). The skip term is the one of
    S4 and its heirs (arXiv 2111.00396, D in equation 1). It starts at zero, not at their one: a
    residual block around the layer already carries x, and a second copy of it in every block would
    let the stream's variance grow geometrically with depth.

    ``mode`` says what is beyond the ends (with ``causal`` as in ``Mixer``): "causal" (causal=True) looks back only, and
    zeros lie before the first token; "circular" (causal=False) wraps round, with the input's own length as period, of a
    padded row the row's; "bidirectional" looks both ways, with taps for the lags -(length - 1) to length - 1, zeros lie
    outside, and nothing wraps. Inputs shorter than ``length`` use the nearest lags only; longer ones see ``length``
    lags, or as many on either side.

    ``num_filters``: with fewer than ``width``, every width / num_filters channels side by side share one filter, as the
    channels of a head share one mixing matrix in attention. Raises InputError unless it divides the width.
    """

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool | None = None,
        mode: Mode | None = None,
        num_filters: int | None = None,
        init: TapsInit = "decay",
        backend: str | None = None,
    ) -> None:
        super().__init__(width, length, causal=causal, mode=mode)
        self.num_filters = check_num_filters(num_filters, width)
        self.filter = FreeTaps(self.num_filters, taps_for(length, self.mode), init=init, mode=self.mode)
        self.skip = nn.Parameter(torch.empty(width))
        self.backend = backend
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The skip weight starts at zero; the filter draws its own taps."""
        nn.init.zeros_(self.skip)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Convolve and add the skip term. x: (batch, length, width)."""
        self.check_input(x)
        taps = taps_that_reach(self.filter(), x.shape[1], self.mode)
        return global_conv(x, taps, mode=self.mode, lengths=lengths, skip=self.skip, backend=self.backend)

    def begin(self, *, batch: int, longest: int) -> OnlineConvolution:
        """See ``states.begin``."""
        taps = self.filter()
        return OnlineConvolution(
            taps,
            width=self.width,
            batch=batch,
            longest=longest,
            skip=self.skip,
            backend=self.backend,
            dtype=taps.dtype,
        )

    def flops(self, length: int) -> float:
        """The convolution and the skip term."""
        return global_conv_flops(length, self.length, self.width, mode=self.mode) + 2.0 * length * self.width

    def extra_repr(self) -> str:
        """Its size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"
