"""A global convolution between two gates, as in H3 and Hyena."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.filters import FilterLike, build_filter
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties, check_num_filters
from globalconv.ops import Integers, Mode, check_lengths, clear_padding
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class GatedConv(Mixer):
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

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, short convolution, gate, global convolution, gate, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        projected = self.project(clear_padding(x, lengths))
        projected = self.short_filter.convolve(projected, lengths=lengths, backend=self.backend)
        query, key, value = projected.chunk(3, dim=-1)
        mixed = self.filter.convolve(
            value, lengths=lengths, skip=self.skip, gate_in=key, gate_out=query, backend=self.backend
        )
        return clear_padding(self.output(mixed), lengths)

    def begin(self, *, batch: int, longest: int) -> "GatedConvState":
        """See ``states.begin``."""
        return GatedConvState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, the short and the long convolution, the skip term and two gates."""
        projections = 8.0 * length * self.width**2
        short = self.short_filter.flops(length, 3 * self.width)
        return projections + short + self.filter.flops(length, self.width) + 4.0 * length * self.width

    def extra_repr(self) -> str:
        """Size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"


class GatedConvState(MixerState):
    """The states of the short convolution of the three projections and of the long one between the gates."""

    def __init__(self, mixer: GatedConv, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {"batch": batch, "longest": longest, "backend": mixer.backend}
        self.short = mixer.short_filter.begin(width=3 * mixer.width, skip=None, **sizes)
        self.long = mixer.filter.begin(width=mixer.width, skip=mixer.skip, **sizes)

    def _prefill(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.prefill, self.short.prefill(self.mixer.project(x)))

    def _step(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.step, self.short.step(self.mixer.project(x)))

    def _between_gates(self, convolve: Callable[[Tensor], Tensor], projected: Tensor) -> Tensor:
        # The gates use the compute dtype of the operator, and the result is rounded once, as there.
        query, key, value = projected.to(compute_dtype(projected.dtype)).chunk(3, dim=-1)
        return self.mixer.output((query * convolve(key * value)).to(projected.dtype))

    def _keep(self, rows: Tensor) -> None:
        self.short, self.long = self.short.select(rows), self.long.select(rows)

    def numbers(self) -> int:
        return self.short.numbers() + self.long.numbers()

    def flops(self) -> float | None:
        """Four projections, the two convolutions and the two gates."""
        short, long = self.short.flops(), self.long.flops()
        if short is None or long is None:
            return None
        return 8.0 * self.width**2 + short + long + 2.0 * self.width
