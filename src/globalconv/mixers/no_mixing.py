"""The lowest rung of the ladder: no token sees another."""

import torch
from torch import Tensor, nn

from globalconv.mixers.base import Mixer, Properties
from globalconv.ops import Integers, check_lengths, clear_padding
from globalconv.states import MixerState
from globalconv.states.state import dtype_of


class NoMixing(Mixer):
    """y = d x, a weight d for each channel: ``global_conv`` without its taps.

    It is the control for every other mixer: a model with it learns only from single tokens (and from the pooling of its
    head). Any length works.
    """

    properties = Properties(linear=True)

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        self.skip = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one."""
        nn.init.ones_(self.skip)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Multiply each channel by its weight. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        return clear_padding(clear_padding(x, lengths) * self.skip.to(x.dtype), lengths)

    def begin(self, *, batch: int, longest: int) -> "NoMixingState":
        """See ``states.begin``."""
        return NoMixingState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """One product per number, counted as a multiply-add."""
        return 2.0 * length * self.width


class NoMixingState(MixerState):
    """An empty state."""

    def __init__(self, mixer: NoMixing, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.skip = mixer.skip

    def _prefill(self, x: Tensor) -> Tensor:
        return x * self.skip.to(x.dtype)

    def _step(self, x: Tensor) -> Tensor:
        return x * self.skip.to(x.dtype)

    def _keep(self, rows: Tensor) -> None:
        pass

    def numbers(self) -> int:
        return 0

    def flops(self) -> float:
        return 2.0 * self.width
