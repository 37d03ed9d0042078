"""A global convolution between two gates: what H3 and Hyena add to the plain one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from globalconv.filters import FreeTaps
from globalconv.filters.free_taps import TapsInit
from globalconv.mixers.base import Mixer, check_num_filters
from globalconv.ops import Integers, Mode, check_lengths, clear_padding, global_conv
from globalconv.ops.conventions import taps_for, taps_that_reach
from globalconv.ops.flops import global_conv_flops
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState, OnlineConvolution, ShortConvolution

SHORT_TAPS = 3


class GatedConv(Mixer):
    """y = W (q . (h * (k . v) + d k . v)), with q, k, v = short convolutions of a projection of x.

    The structure of Hyena's operator of order 2 (arXiv 2302.10866, section 3.1), with free taps in
    place of its implicit filter; the short convolution of 3 taps lets a token meet its neighbour
    before the gates compare them (H3, arXiv 2212.14052, the shift matrix). The filters are static,
    but the gates make the mixing depend on the content.

    ``mode``, ``num_filters``, and lengths below and above the nominal one: as in ``GlobalConv``. The short convolution
    looks back in every mode; in a circle it wraps, so that the layer stays equivariant to shifts, and nowhere else.
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
        self.project = nn.Linear(width, 3 * width)
        # Starts as the identity: the projections themselves.
        self.short_filter = FreeTaps(3 * width, min(SHORT_TAPS, length), init="identity")
        self.num_filters = check_num_filters(num_filters, width)
        self.filter = FreeTaps(self.num_filters, taps_for(length, self.mode), init=init, mode=self.mode)
        self.skip = nn.Parameter(torch.empty(width))
        self.output = nn.Linear(width, width)
        self.backend = backend
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The skip weight starts at one; filters and projections draw their own."""
        nn.init.ones_(self.skip)

    @property
    def short_mode(self) -> Mode:
        """The short convolution's: one-sided."""
        return "circular" if self.mode == "circular" else "causal"

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, convolve shortly, gate, convolve globally, gate, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        short = taps_that_reach(self.short_filter(), x.shape[1], self.short_mode)
        long = taps_that_reach(self.filter(), x.shape[1], self.mode)
        projected = self.project(clear_padding(x, lengths))
        projected = global_conv(projected, short, mode=self.short_mode, lengths=lengths, backend=self.backend)
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

    def begin(self, *, batch: int, longest: int) -> "GatedConvState":
        """See ``states.begin``."""
        return GatedConvState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, the short and the long convolution, the skip term and two gates."""
        projections = 8.0 * length * self.width**2
        short = global_conv_flops(length, self.short_filter.num_taps, 3 * self.width, mode=self.short_mode)
        long = global_conv_flops(length, self.length, self.width, mode=self.mode)
        return projections + short + long + 4.0 * length * self.width

    def extra_repr(self) -> str:
        """Its size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"


class GatedConvState(MixerState):
    """The short convolution of all three projections, and the long one between the gates, each one token at a time."""

    def __init__(self, mixer: GatedConv, *, batch: int, longest: int) -> None:
        taps, backend = mixer.filter(), mixer.backend
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=taps.dtype)
        self.mixer = mixer
        self.short = ShortConvolution(mixer.short_filter(), batch=batch, longest=longest, backend=backend)
        self.long = OnlineConvolution(
            taps, width=mixer.width, batch=batch, longest=longest, skip=mixer.skip, backend=backend
        )

    def _prefill(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.prefill, self.short.prefill(self.mixer.project(x)))

    def _step(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.step, self.short.step(self.mixer.project(x)))

    def _between_gates(self, convolve: Callable[[Tensor], Tensor], projected: Tensor) -> Tensor:
        # In the dtype that the operator computes in, between its gates too, and rounded once as there.
        query, key, value = projected.to(compute_dtype(projected.dtype)).chunk(3, dim=-1)
        return self.mixer.output((query * convolve(key * value)).to(projected.dtype))

    def _keep(self, rows: Tensor) -> None:
        self.short, self.long = self.short.select(rows), self.long.select(rows)

    def numbers(self) -> int:
        return self.short.numbers() + self.long.numbers()
