"""The exact fall-back: a mixer that has no state of its own reads everything again for every token."""

from torch import Tensor, nn

from globalconv.decoding.state import MixerState, dtype_of, holding


class RecomputedState(MixerState):
    """All inputs, (batch, longest, width). A step costs what ``mixer`` costs on the whole sequence so far.

    ``mixer`` is any causal module (batch, length, width) -> the same.
    """

    def __init__(self, mixer: nn.Module, *, width: int, batch: int, longest: int) -> None:
        super().__init__(width=width, batch=batch, longest=longest, dtype=dtype_of(mixer))
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
        self.inputs = holding(self.inputs, x)
        return self.inputs

    def _keep(self, rows: Tensor) -> None:
        self.inputs = None if self.inputs is None else self.inputs[rows]

    def numbers(self) -> int:
        return self.batch * self.longest * self.width
