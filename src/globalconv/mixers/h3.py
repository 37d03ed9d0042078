"""H3's layer: a shift, a product, a state space, a product."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from globalconv.filters import FilterLike, build_filter
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties, check_num_filters
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, Mode, check_lengths, clear_padding
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class H3(Mixer):
    """y = W (q . (h * (s * k . v) + d (s * k . v))), with projections q, k, v of x, shift taps s and a long filter h.

    H3 of arXiv 2212.14052 (section 3.1, figure 1) with heads of one channel: q . SSM_diag(SSM_shift(k) . v). A shift
    state space of m states is m free taps: its input moves along a delay line, and the output reads every place of it.
    So ``short_taps`` is their m, 64 by default; the skip weight beside it is one more tap at lag 0 and is left out. The
    diagonal state space is the filter "s4d". In their code (HazyResearch/safari, ``h3.py``) the taps start as white
    noise; here they start as the identity, as in ``GatedConv``, which convolves q and v as well, with 3 taps.

    Heads of more channels, whose state spaces see the outer products of k and v, are not offered.

    The skip weights d start as standard normal numbers, as theirs, and the output has a third of the size of white
    noise at the input.
    ``mode``, ``filter`` with its own options, ``num_filters``, ``short_taps``, and lengths below and above the nominal
    one: as in ``GatedConv``.
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
        short_taps: int = 64,
        filter: FilterLike = "s4d",
        backend: str | None = None,
        **filter_options: Any,
    ) -> None:
        super().__init__(width, length, causal=causal, mode=mode)
        self.project = UnitLinear(width, 3 * width)
        self.shift = short_filter(width, short_taps, length, mode=self.mode)
        self.num_filters = check_num_filters(num_filters, width)
        self.filter = build_filter(filter, self.num_filters, length, mode=self.mode, options=filter_options)
        self.skip = nn.Parameter(torch.empty(width))
        # A filter of unit norm and a skip weight of unit variance add up to twice the variance. And a third of the
        # size, as of two linear layers of PyTorch's: the gradient comes back through every factor, and from full ones
        # it would grow through a deep stack.
        self.output = UnitLinear(width, width, gain=2**-0.5 / 3)
        self.backend = backend
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the skip weights; filters and projections draw their own."""
        nn.init.normal_(self.skip)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, shift the keys, gate, convolve globally, gate, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        query, key, value = self.project(clear_padding(x, lengths)).chunk(3, dim=-1)
        key = self.shift.convolve(key, lengths=lengths, backend=self.backend)
        mixed = self.filter.convolve(
            value, lengths=lengths, skip=self.skip, gate_in=key, gate_out=query, backend=self.backend
        )
        return clear_padding(self.output(mixed), lengths)

    def begin(self, *, batch: int, longest: int) -> "H3State":
        """See ``states.begin``."""
        return H3State(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, the shift and the long convolution, the skip term and two gates."""
        projections = 8.0 * length * self.width**2
        convolutions = self.shift.flops(length, self.width) + self.filter.flops(length, self.width)
        return projections + convolutions + 4.0 * length * self.width

    def extra_repr(self) -> str:
        """Its size, mode and backend."""
        return f"{self.width}, {self.length}, mode='{self.mode}', backend={self.backend!r}"


class H3State(MixerState):
    """The shift of the keys, and the long convolution between the gates, each one token at a time."""

    def __init__(self, mixer: H3, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {
            "width": mixer.width,
            "batch": batch,
            "longest": longest,
            "backend": mixer.backend,
        }
        self.shift = mixer.shift.begin(skip=None, **sizes)
        self.long = mixer.filter.begin(skip=mixer.skip, **sizes)

    def _prefill(self, x: Tensor) -> Tensor:
        return self._mixed(x, shift=self.shift.prefill, convolve=self.long.prefill)

    def _step(self, x: Tensor) -> Tensor:
        return self._mixed(x, shift=self.shift.step, convolve=self.long.step)

    def _mixed(
        self, x: Tensor, *, shift: Callable[[Tensor], Tensor], convolve: Callable[[Tensor], Tensor]
    ) -> Tensor:
        projected = self.mixer.project(x)
        query, key, value = projected.chunk(3, dim=-1)
        # From here on in the dtype that the operator computes in, and rounded once as there.
        wide = compute_dtype(projected.dtype)
        gated = shift(key).to(wide) * value.to(wide)
        return self.mixer.output((query.to(wide) * convolve(gated)).to(projected.dtype))

    def _keep(self, rows: Tensor) -> None:
        self.shift, self.long = self.shift.select(rows), self.long.select(rows)

    def numbers(self) -> int:
        return self.shift.numbers() + self.long.numbers()

    def flops(self) -> float | None:
        """Four projections, the two convolutions and the two gates."""
        shift, long = self.shift.flops(), self.long.flops()
        if shift is None or long is None:
            return None
        return 8.0 * self.mixer.width**2 + shift + long + 2.0 * self.width
