"""What ``gated_conv`` and ``hyena`` share: long convolutions between gates, behind one short convolution."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from globalconv.filters import Filter
from globalconv.mixers.base import Mixer
from globalconv.ops import Integers, check_lengths, clear_padding
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class GatedConvolutions(Mixer):
    """y = W (x[N] . z[N-1]), with z[0] = v and z[n] = h[n] * (x[n] . z[n-1]) + d[n] (x[n] . z[n-1]).

    v and the gates x[1] .. x[N] are short convolutions of projections of the input, in the order x[N] .. x[1], v. A
    subclass sets ``project``, ``short_filter``, ``output`` and ``backend``, defines ``long_convolutions``, and has a
    ``begin`` that returns a ``GatedConvolutionsState``.
    """

    project: nn.Linear
    short_filter: Filter
    output: nn.Linear
    backend: str | None

    @abstractmethod
    def long_convolutions(self) -> Sequence[tuple[Filter, Tensor]]:
        """The filter h[n] and the skip weight d[n] of each long convolution, n = 1 .. N-1."""

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Project, short convolution, gate and long convolution in turns, gate, project. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        projected = self.project(clear_padding(x, lengths))
        projected = self.short_filter.convolve(projected, lengths=lengths, backend=self.backend)
        convolutions = self.long_convolutions()
        last, *gates, mixed = projected.chunk(len(convolutions) + 2, dim=-1)
        for n, ((filter_, skip), gate) in enumerate(zip(convolutions, reversed(gates), strict=True), start=1):
            mixed = filter_.convolve(
                mixed,
                lengths=lengths,
                skip=skip,
                gate_in=gate,
                gate_out=last if n == len(convolutions) else None,
                backend=self.backend,
            )
        return clear_padding(self.output(mixed), lengths)

    def flops(self, length: int) -> float:
        """The projections, the short convolution, the long ones with their skip terms, and the gates."""
        filters = [filter_ for filter_, _ in self.long_convolutions()]
        order = len(filters) + 1
        projections = 2.0 * (order + 2) * length * self.width**2
        short = self.short_filter.flops(length, (order + 1) * self.width)
        long = sum(filter_.flops(length, self.width) for filter_ in filters)
        return projections + short + long + (2.0 * len(filters) + order) * length * self.width


class GatedConvolutionsState(MixerState):
    """The states of the short convolution of all projections and of each long convolution."""

    def __init__(self, mixer: GatedConvolutions, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {"batch": batch, "longest": longest, "backend": mixer.backend}
        self.longs = [
            filter_.begin(width=mixer.width, skip=skip, **sizes)
            for filter_, skip in mixer.long_convolutions()
        ]
        self.short = mixer.short_filter.begin(width=(len(self.longs) + 2) * mixer.width, skip=None, **sizes)

    def _prefill(self, x: Tensor) -> Tensor:
        return self._in_turns(
            [long.prefill for long in self.longs], self.short.prefill(self.mixer.project(x))
        )

    def _step(self, x: Tensor) -> Tensor:
        return self._in_turns([long.step for long in self.longs], self.short.step(self.mixer.project(x)))

    def _in_turns(self, convolutions: list[Callable[[Tensor], Tensor]], projected: Tensor) -> Tensor:
        # The gates use the compute dtype of the operator, and the result is rounded once, as there.
        wide = projected.to(compute_dtype(projected.dtype))
        last, *gates, mixed = wide.chunk(len(convolutions) + 2, dim=-1)
        for convolve, gate in zip(convolutions, reversed(gates), strict=True):
            mixed = convolve(gate * mixed)
        return self.mixer.output((last * mixed).to(projected.dtype))

    def _keep(self, rows: Tensor) -> None:
        self.short, self.longs = self.short.select(rows), [long.select(rows) for long in self.longs]

    def numbers(self) -> int:
        return self.short.numbers() + sum(long.numbers() for long in self.longs)

    def flops(self) -> float | None:
        """The projections, the convolutions and the gates."""
        order = len(self.longs) + 1
        total = 2.0 * (order + 2) * self.width**2 + order * self.width
        for convolution in (self.short, *self.longs):
            flops = convolution.flops()
            if flops is None:
                return None
            total += flops
        return total
