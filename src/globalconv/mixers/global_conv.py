"""The layer that the package is about: a single global depthwise convolution."""

from typing import Any

import torch
from torch import nn

from globalconv.filters import FilterLike, build_filter
from globalconv.mixers.base import Properties, check_num_filters
from globalconv.mixers.convolution import Convolution
from globalconv.ops import Mode


class GlobalConv(Convolution):
    """y = h * x + d x: taps h as long as the sequence and a skip weight d, per channel.

    No channel sees another and nothing depends on the content: the mixing matrix is the same for
    every input (circulant, or lower triangular Toeplitz when causal). The skip term is that of
    S4 and its successors (arXiv 2111.00396, D in equation 1). It starts at zero instead of one: a
    residual block around the layer already carries x, and a second copy of it in every block would
    let the variance of the residual stream grow geometrically with depth.

    ``mode`` says what is beyond the ends (with ``causal`` as in ``Mixer``): "causal" (causal=True) looks back only, and
    zeros lie before the first token; "circular" (causal=False) wraps round, with the input's own length as period, of a
    padded row the row's; "bidirectional" looks both ways, with taps for the lags -(length - 1) to length - 1, zeros lie
    outside, and nothing wraps.

    ``filter`` makes the taps: a name of ``globalconv.filters.FILTERS`` with its own options as keyword arguments
    (``filter="free", init="flat"``) or behind its name (``filter="free[init=flat]"``), a ``Filter`` class, or a filter
    built for as many channels, this length and mode. What inputs of other lengths see is the filter's to say; of free
    taps, shorter ones use the nearest lags, and longer ones see ``length`` lags, or as many on either side.

    ``num_filters``: with fewer than ``width``, every width / num_filters channels side by side share one filter, as the
    channels of a head share one mixing matrix in attention. Raises InputError unless it divides the width.
    """

    properties = Properties(whole_sequence=True, linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool | None = None,
        mode: Mode | None = None,
        num_filters: int | None = None,
        filter: FilterLike = "free",
        backend: str | None = None,
        **filter_options: Any,
    ) -> None:
        super().__init__(width, length, causal=causal, mode=mode)
        self.num_filters = check_num_filters(num_filters, width)
        self.filter = build_filter(filter, self.num_filters, length, mode=self.mode, options=filter_options)
        self.skip = nn.Parameter(torch.empty(width))
        self.backend = backend
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"
