"""The two mixers with a convolution, one token at a time."""

from collections.abc import Callable

from torch import Tensor

from globalconv.decoding.online import OnlineConvolution, ShortConvolution
from globalconv.decoding.state import MixerState
from globalconv.mixers.gated_conv import GatedConv
from globalconv.mixers.global_conv import GlobalConv
from globalconv.ops.interface import compute_dtype


def _taps_of_channels(mixer: GlobalConv | GatedConv) -> Tensor:
    """The long filter's taps, (width, num_taps): a filter that channels share stands there for each."""
    taps = mixer.filter()
    return taps.repeat_interleave(mixer.width // taps.shape[0], dim=0)


class GlobalConvState(MixerState):
    """The convolution, with the skip weight as one more tap."""

    def __init__(self, mixer: GlobalConv, *, batch: int, longest: int) -> None:
        taps = _taps_of_channels(mixer)
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=taps.dtype)
        self.convolution = OnlineConvolution(
            taps, batch=batch, longest=longest, skip=mixer.skip, backend=mixer.backend
        )

    def _prefill(self, x: Tensor) -> Tensor:
        return self.convolution.prefill(x)

    def _step(self, x: Tensor) -> Tensor:
        return self.convolution.step(x)

    def _keep(self, rows: Tensor) -> None:
        self.convolution = self.convolution.select(rows)

    def numbers(self) -> int:
        return self.convolution.numbers()


class GatedConvState(MixerState):
    """The projections, the short convolution of all three, and the long one between the gates."""

    def __init__(self, mixer: GatedConv, *, batch: int, longest: int) -> None:
        taps = _taps_of_channels(mixer)
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=taps.dtype)
        self.mixer = mixer
        self.short = ShortConvolution(
            mixer.short_filter(), batch=batch, longest=longest, backend=mixer.backend
        )
        self.long = OnlineConvolution(
            taps, batch=batch, longest=longest, skip=mixer.skip, backend=mixer.backend
        )

    def _prefill(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.prefill, self.short.prefill(self.mixer.project(x)))

    def _step(self, x: Tensor) -> Tensor:
        return self._between_gates(self.long.step, self.short.step(self.mixer.project(x)))

    def _between_gates(self, convolve: Callable[[Tensor], Tensor], projected: Tensor) -> Tensor:
        # In the dtype that the operator computes in, between its gates too, and rounded once as there.
        query, key, value = projected.to(compute_dtype(projected.dtype)).chunk(3, dim=-1)
        result: Tensor = self.mixer.output((query * convolve(key * value)).to(projected.dtype))
        return result

    def _keep(self, rows: Tensor) -> None:
        self.short, self.long = self.short.select(rows), self.long.select(rows)

    def numbers(self) -> int:
        return self.short.numbers() + self.long.numbers()
