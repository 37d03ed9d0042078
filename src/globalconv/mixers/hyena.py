"""Hyena's operator of any order: long convolutions and gates in turns."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters import Filter, FilterLike, build_filter
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Properties, check_num_filters
from globalconv.mixers.gated_convolutions import GatedConvolutions, GatedConvolutionsState
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Mode


class Hyena(GatedConvolutions):
    """y = W z[N], with z[1] = x[1] . v and z[n+1] = x[n+1] . (h[n] * z[n] + d[n] z[n]).

    Hyena's operator of order N (arXiv 2302.10866, definition 3.1, equation 4): v and the gates x[1] .. x[N] are short
    convolutions of projections of the input, and h[1] .. h[N-1] are long filters. Equation 4 has one more long filter,
    on v before the first gate. The authors' code (HazyResearch/safari, ``hyena.py``) has none there, and neither has
    this layer: at ``order`` 2 it is ``GatedConv`` with another default filter and another start of the skip weights.

    The skip weights d start as standard normal numbers, as theirs. Here every long convolution has a filter of its own,
    where in their code one network makes the taps of all; the short convolution starts as the identity, and the
    projections keep the size of white noise, of which the output has a third, whatever the order.

    ``mode``, ``filter`` with its own options, ``num_filters``, ``short_taps``, and lengths below and above the nominal
    one: as in ``GatedConv``. Raises InputError for an order below 2, and for a filter that is built already where there
    is more than one long convolution.
    """

    properties = Properties(whole_sequence=True, content_dependent=True, linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool | None = None,
        mode: Mode | None = None,
        order: int = 2,
        num_filters: int | None = None,
        short_taps: int = 3,
        filter: FilterLike = "implicit",
        backend: str | None = None,
        **filter_options: Any,
    ) -> None:
        super().__init__(width, length, causal=causal, mode=mode)
        if order < 2:
            raise InputError(
                f"order {order}: Hyena's operator has at least 2 gates, with a convolution between."
            )
        if order > 2 and isinstance(filter, Filter):
            raise InputError(f"order {order} needs {order - 1} filters. Give the filter's name or class.")
        self.order = order
        self.project = UnitLinear(width, (order + 1) * width)
        self.short_filter = short_filter((order + 1) * width, short_taps, length, mode=self.mode)
        self.num_filters = check_num_filters(num_filters, width)
        self.filters = nn.ModuleList(
            build_filter(filter, self.num_filters, length, mode=self.mode, options=filter_options)
            for _ in range(order - 1)
        )
        self.skips = nn.ParameterList(torch.empty(width) for _ in range(order - 1))
        # A filter of unit norm and a skip weight of unit variance add up to twice the variance. And a third of the
        # size, as of two linear layers of PyTorch's: the gradient comes back through every factor, and from full ones
        # it would grow through a deep stack.
        self.output = UnitLinear(width, width, gain=2 ** (-(order - 1) / 2) / 3)
        self.backend = backend
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the skip weights; filters and projections draw their own."""
        for skip in self.skips:
            nn.init.normal_(skip)

    def long_convolutions(self) -> Sequence[tuple[Filter, Tensor]]:
        """See ``GatedConvolutions``."""
        return [(cast(Filter, filter_), skip) for filter_, skip in zip(self.filters, self.skips, strict=True)]

    def begin(self, *, batch: int, longest: int) -> GatedConvolutionsState:
        """See ``states.begin``."""
        return GatedConvolutionsState(self, batch=batch, longest=longest)

    def extra_repr(self) -> str:
        """Its size, mode, order and backend."""
        return (
            f"{self.width}, {self.length}, mode='{self.mode}', order={self.order}, backend={self.backend!r}"
        )
