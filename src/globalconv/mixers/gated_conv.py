"""A global convolution between two gates: what H3 and Hyena add to the plain one."""

import torch
from torch import Tensor, nn

from globalconv.filters import FreeTaps
from globalconv.filters.free_taps import TapsInit
from globalconv.mixers.base import Mixer
from globalconv.ops import check_lengths, clear_padding, global_conv
from globalconv.ops.flops import global_conv_flops

SHORT_TAPS = 3


class GatedConv(Mixer):
    """y = W (q . (h * (k . v) + d k . v)), with q, k, v = short convolutions of a projection of x.

    The structure of Hyena's operator of order 2 (arXiv 2302.10866, section 3.1), with free taps in
    place of its implicit filter; the short convolution of 3 taps lets a token meet its neighbour
    before the gates compare them (H3, arXiv 2212.14052, the shift matrix). The filters are static,
    but the gates make the mixing depend on the content.

    The short convolution is one-sided in both modes; in circular mode it wraps, so that the layer
    stays equivariant to shifts. Lengths below and above the nominal one: as in ``GlobalConv``.
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
        self.project = nn.Linear(width, 3 * width)
        self.short_filter = FreeTaps(3 * width, min(SHORT_TAPS, length), init="flat")
        with torch.no_grad():  # starts as the identity: the projections themselves
            self.short_filter.taps.zero_()[:, 0] = 1.0
        self.filter = FreeTaps(width, length, init=init, circular=not causal)
        self.skip = nn.Parameter(torch.ones(width))
        self.output = nn.Linear(width, width)
        self.backend = backend

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Project, convolve shortly, gate, convolve globally, gate, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        short, long = (taps[:, : x.shape[1]] for taps in (self.short_filter(), self.filter()))
        projected = self.project(clear_padding(x, lengths))
        projected = global_conv(projected, short, mode=self.mode, lengths=lengths, backend=self.backend)
        query, key, value = projected.chunk(3, dim=-1)
        mixed = global_conv(
            value,
            long,
            mode=self.mode,
            lengths=lengths,
            skip=self.skip,
            gate_in=key,
            gate_out=query,
            backend=self.backend,
        )
        return clear_padding(self.output(mixed), lengths)

    def flops(self, length: int) -> float:
        """Four projections, the short and the long convolution, the skip term and two gates."""
        projections = 8.0 * length * self.width**2
        short = global_conv_flops(length, self.short_filter.num_taps, 3 * self.width, mode=self.mode)
        long = global_conv_flops(length, self.length, self.width, mode=self.mode)
        return projections + short + long + 4.0 * length * self.width
