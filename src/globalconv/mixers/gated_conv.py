"""A global convolution between two gates, as in H3 and Hyena."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.filters import Filter, FilterLike, build_filter
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Properties, check_num_filters
from globalconv.mixers.gated_convolutions import GatedConvolutions, GatedConvolutionsState
from globalconv.ops import Mode


class GatedConv(GatedConvolutions):
    """y = W (q . (h * (k . v) + d k . v)), with q, k, v = short convolutions of a projection of x.

    This is the structure of Hyena's operator of order 2 (arXiv 2302.10866, section 3.1), by default with free taps
    instead of its implicit filter. The short convolution of 3 taps combines a token with its neighbours before the
    gates (H3, arXiv 2212.14052, the shift matrix). The filters are static, but the gates make the mixing depend on the
    content.

    ``mode``, ``filter``, ``num_filters``, and lengths below and above the nominal one are as in ``GlobalConv``. The
    short convolution looks back in every mode and wraps around only in circular mode. ``short_taps`` is its number of
    lags; 0 means that there is none.
    """

    properties = Properties(whole_sequence=True, content_dependent=True, linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool | None = None,
        mode: Mode | None = None,
        num_filters: int | None = None,
        short_taps: int = 3,
        filter: FilterLike = "free",
        backend: str | None = None,
        **filter_options: Any,
    ) -> None:
        super().__init__(width, length, causal=causal, mode=mode)
        self.project = nn.Linear(width, 3 * width)
        self.short_filter = short_filter(3 * width, short_taps, length, mode=self.mode)
        self.num_filters = check_num_filters(num_filters, width)
        self.filter = build_filter(filter, self.num_filters, length, mode=self.mode, options=filter_options)
        self.skip = nn.Parameter(torch.empty(width))
        self.output = nn.Linear(width, width)
        self.backend = backend
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the skip weight to one; filters and projections reset themselves."""
        nn.init.ones_(self.skip)

    def long_convolutions(self) -> Sequence[tuple[Filter, Tensor]]:
        """See ``GatedConvolutions``: one."""
        return [(self.filter, self.skip)]

    def begin(self, *, batch: int, longest: int) -> GatedConvolutionsState:
        """See ``states.begin``."""
        return GatedConvolutionsState(self, batch=batch, longest=longest)

    def extra_repr(self) -> str:
        """Size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"
