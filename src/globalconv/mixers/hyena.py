"""Hyena's operator of any order: long convolutions and gates in turns."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters import Filter, FilterLike, build_filter
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties, check_num_filters
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, Mode, check_lengths, clear_padding
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class Hyena(Mixer):
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

    @property
    def long_filters(self) -> list[Filter]:
        """h[1] .. h[N-1]."""
        return [cast(Filter, filter_) for filter_ in self.filters]

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, convolve shortly, gate and convolve in turns, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        projected = self.project(clear_padding(x, lengths))
        projected = self.short_filter.convolve(projected, lengths=lengths, backend=self.backend)
        last, *gates, mixed = projected.chunk(self.order + 1, dim=-1)
        for n, (filter_, gate) in enumerate(zip(self.long_filters, reversed(gates), strict=True), start=1):
            mixed = filter_.convolve(
                mixed,
                lengths=lengths,
                skip=self.skips[n - 1],
                gate_in=gate,
                gate_out=last if n == len(self.filters) else None,
                backend=self.backend,
            )
        return clear_padding(self.output(mixed), lengths)

    def begin(self, *, batch: int, longest: int) -> "HyenaState":
        """See ``states.begin``."""
        return HyenaState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """The projections, the short convolution, the long ones with their skip terms, and the gates."""
        projections = 2.0 * (self.order + 2) * length * self.width**2
        short = self.short_filter.flops(length, (self.order + 1) * self.width)
        long = sum(filter_.flops(length, self.width) for filter_ in self.long_filters)
        skips_and_gates = (2.0 * (self.order - 1) + self.order) * length * self.width
        return projections + short + long + skips_and_gates

    def extra_repr(self) -> str:
        """Its size, mode, order and backend."""
        return (
            f"{self.width}, {self.length}, mode='{self.mode}', order={self.order}, backend={self.backend!r}"
        )


class HyenaState(MixerState):
    """The short convolution of all projections, and each long one, one token at a time."""

    def __init__(self, mixer: Hyena, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {"batch": batch, "longest": longest, "backend": mixer.backend}
        self.short = mixer.short_filter.begin(width=(mixer.order + 1) * mixer.width, skip=None, **sizes)
        self.longs: list[MixerState] = [
            filter_.begin(width=mixer.width, skip=skip, **sizes)
            for filter_, skip in zip(mixer.long_filters, mixer.skips, strict=True)
        ]

    def _prefill(self, x: Tensor) -> Tensor:
        return self._in_turns(
            [long.prefill for long in self.longs], self.short.prefill(self.mixer.project(x))
        )

    def _step(self, x: Tensor) -> Tensor:
        return self._in_turns([long.step for long in self.longs], self.short.step(self.mixer.project(x)))

    def _in_turns(self, convolutions: list[Callable[[Tensor], Tensor]], projected: Tensor) -> Tensor:
        # In the dtype that the operator computes in, and rounded once as there.
        last, *gates, mixed = projected.to(compute_dtype(projected.dtype)).chunk(self.mixer.order + 1, dim=-1)
        for convolve, gate in zip(convolutions, reversed(gates), strict=True):
            mixed = convolve(gate * mixed)
        return self.mixer.output((last * mixed).to(projected.dtype))

    def _keep(self, rows: Tensor) -> None:
        self.short, self.longs = self.short.select(rows), [long.select(rows) for long in self.longs]

    def numbers(self) -> int:
        return self.short.numbers() + sum(long.numbers() for long in self.longs)

    def flops(self) -> float | None:
        """The projections, the convolutions and the gates."""
        order, width = self.mixer.order, self.mixer.width
        total = 2.0 * (order + 2) * width**2 + order * width
        for convolution in (self.short, *self.longs):
            flops = convolution.flops()
            if flops is None:
                return None
            total += flops
        return total
