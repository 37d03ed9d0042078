"""The base class of mixers that are a plain convolution with any filter."""

from torch import Tensor, nn

from globalconv.filters import Filter
from globalconv.mixers.base import Mixer
from globalconv.ops import Integers
from globalconv.states import MixerState


class Convolution(Mixer):
    """y = h * x + d x, with a filter that produces the taps h and a skip weight d per channel.

    A subclass sets ``filter``, ``skip`` and ``backend``.
    """

    filter: Filter
    skip: nn.Parameter
    backend: str | None

    def reset_parameters(self) -> None:
        """Set the skip weight to zero; the filter resets itself."""
        nn.init.zeros_(self.skip)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Convolve and add the skip term. x: (batch, length, width)."""
        self.check_input(x)
        return self.filter.convolve(x, lengths=lengths, skip=self.skip, backend=self.backend)

    def begin(self, *, batch: int, longest: int) -> MixerState:
        """See ``states.begin``."""
        return self.filter.begin(
            width=self.width, batch=batch, longest=longest, skip=self.skip, backend=self.backend
        )

    def flops(self, length: int) -> float:
        """The convolution and the skip term."""
        return self.filter.flops(length, self.width) + 2.0 * length * self.width
