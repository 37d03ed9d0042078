"""The Toeplitz neural network's filter: a small network of the lag."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.base import normalise
from globalconv.filters.precision import linear, places, wide
from globalconv.filters.response import Response
from globalconv.ops import Mode


class RelativePositions(Response):
    """r(s) = ``decay``^s W relu(norm(...)): the relative position encoder of arXiv 2305.04749, section 3.2.

    The filter is a network with ``layers`` hidden layers whose input is the lag, an integer that is negative for later
    tokens. Each layer normalises, then applies the activation, then a linear map, as in its authors' code. Their decay
    is off by default in the code and 0.99 in the paper; ``decay=1`` turns it off. The gated unit of the paper belongs
    to the mixer: see ``gated_conv``.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        hidden: int = 64,
        layers: int = 3,
        decay: float = 0.99,
    ) -> None:
        super().__init__(channels, length, mode=mode)
        if hidden < 1 or layers < 1:
            raise InputError(f"hidden {hidden} and layers {layers}: use at least 1.")
        if not 0 < decay <= 1:
            raise InputError(f"decay {decay}: use a number above 0 and at most 1 (no decay).")
        self.decay = decay
        self.first = nn.Linear(1, hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.weight = nn.Parameter(torch.empty(channels, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the last weights; the linear layers reset themselves."""
        with torch.no_grad():
            self.weight.normal_()
        normalise(self, self.weight, dim=0)

    def response(self, num: int) -> Tensor:
        """See ``Response``."""
        back = places(num, like=self.weight)
        distance = torch.cat([back, back + 1]) if self.sides == 2 else back
        lag = torch.cat([back, -1 - back]) if self.sides == 2 else back
        hidden = linear(self.first, lag[:, None])
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            hidden = linear(layer, F.relu(_normalised(hidden)))
        taps = wide(self.weight) @ F.relu(_normalised(hidden)).T
        if self.decay < 1:
            taps = taps * self.decay**distance
        return taps.unflatten(1, (self.sides, num)).transpose(0, 1)

    def extra_repr(self) -> str:
        """Size, mode and network."""
        shape = f"hidden={self.weight.shape[1]}, layers={len(self.layers)}"
        return f"{super().extra_repr()}, {shape}, decay={self.decay}"


def _normalised(x: Tensor) -> Tensor:
    """Normalise without weights: the linear map after it has them."""
    return F.layer_norm(x, x.shape[-1:])
