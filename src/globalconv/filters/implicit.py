"""Hyena's filter: a small network of the position, under a decaying window."""

import math

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.base import normalise
from globalconv.filters.precision import linear, places, wide
from globalconv.filters.response import Response
from globalconv.ops import Mode

FAST, SLOW, TARGET = 0.3, 1.5, 1e-2
"""The window decays to TARGET at between these fractions of the nominal length, linearly over the channels."""


class Implicit(Response):
    """r(s) = w(s) W sin(f (W2 sin(f (W1 z(s) + b1)) + b2)), with a window w(s) = exp(-|d| s / (length - 1)).

    This is Hyena's filter (arXiv 2302.10866, section 3.3, and its authors' code). z(s) is s / (length - 1), which goes
    to 1 over the nominal length for any input length, with cosines and sines of (``features`` - 1) / 2 frequencies.
    ``frequency`` is the initial value of f, which is learned for each hidden unit. The rates d of the window are fixed,
    from 4.6 / 1.5 in the first channel to 4.6 / 0.3 in the last. Unlike in their code, z is fixed, and filters do not
    share their sines. Inputs longer than the nominal length continue the formula.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        hidden: int = 64,
        features: int = 5,
        frequency: float = 10.0,
        window: bool = True,
    ) -> None:
        super().__init__(channels, length, mode=mode)
        if features < 3 or features % 2 == 0:
            raise InputError(
                f"features {features}: use an odd number of at least 3, for the position and pairs of waves."
            )
        if hidden < 1:
            raise InputError(f"hidden {hidden}: use at least 1.")
        self.features = features
        self.window = window
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.frequency = nn.Parameter(torch.full((hidden,), float(frequency)))
        self.initial_frequency = frequency
        self.weight = nn.Parameter(torch.empty(self.sides, channels, hidden))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the last weights; the linear layers reset themselves."""
        with torch.no_grad():
            self.frequency.fill_(self.initial_frequency)
            self.weight.normal_()
        normalise(self, self.weight, dim=1)

    def response(self, num: int) -> Tensor:
        """See ``Response``."""
        place = places(num, like=self.weight) / max(self.length - 1, 1)
        waves = 1 + places((self.features - 1) // 2, like=self.weight)
        angles = 2 * math.pi * place[:, None] * waves
        z = torch.cat([place[:, None], angles.cos(), -angles.sin()], dim=1)
        hidden = torch.sin(self.frequency * linear(self.first, z))
        hidden = torch.sin(self.frequency * linear(self.second, hidden))
        taps = wide(self.weight) @ hidden.T
        if not self.window:
            return taps
        channel = places(self.channels, like=self.weight) / max(self.channels - 1, 1)
        rates = -math.log(TARGET) * (1 / SLOW + (1 / FAST - 1 / SLOW) * channel)
        return taps * torch.exp(-rates[:, None] * place)

    def extra_repr(self) -> str:
        """Size, mode and network."""
        return (
            f"{super().extra_repr()}, hidden={self.weight.shape[2]}, features={self.features}, "
            f"frequency={self.initial_frequency}, window={self.window}"
        )
