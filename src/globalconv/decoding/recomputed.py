"""The exact fall-back: a mixer that has no state of its own reads everything again for every token."""

from torch import Tensor

from globalconv.decoding.state import MixerState
from globalconv.mixers.base import Mixer


class RecomputedState(MixerState):
    """All inputs, (batch, longest, width). A step costs what the mixer costs on the whole sequence so far."""

    def __init__(self, mixer: Mixer, *, batch: int, longest: int) -> None:
        dtype = next((p.dtype for p in mixer.parameters() if p.is_floating_point()), None)
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype)
        self.mixer = mixer
        self.inputs: Tensor | None = None

    def _prefill(self, x: Tensor) -> Tensor:
        self._place_for(x)[:, : x.shape[1]] = x
        result: Tensor = self.mixer(x)
        return result

    def _step(self, x: Tensor) -> Tensor:
        inputs = self._place_for(x)
        inputs[:, self.count] = x
        return self.mixer(inputs[:, : self.count + 1])[:, -1].clone()

    def _place_for(self, x: Tensor) -> Tensor:
        """The inputs, where the first of them lies: a mixer without weights has no device or dtype."""
        if self.inputs is None:
            self.inputs = x.new_empty(self.batch, self.longest, self.width)
        return self.inputs

    def _keep(self, rows: Tensor) -> None:
        self.inputs = None if self.inputs is None else self.inputs[rows]

    def numbers(self) -> int:
        return self.batch * self.longest * self.width
