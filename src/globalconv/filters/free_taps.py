"""The plainest filter: every tap is a parameter of its own."""

from typing import Literal

import torch
from torch import Tensor, nn

from globalconv.errors import unknown_name
from globalconv.filters.base import Filter

TapsInit = Literal["decay", "flat"]


class FreeTaps(Filter):
    """Free taps, one parameter per channel and lag; unit norm per channel at the start.

    ``init="flat"``: white noise, every lag alike. ``init="decay"``: white noise under an exponential
    window whose time constant runs, evenly on a log scale, from 1 lag in the first channel to
    ``num_taps`` in the last, so that training starts with near and far neighbours in reach of some
    channel (after LongConv's decay initialisation, arXiv 2302.06646, section 3.1; theirs fixes the
    constants otherwise and does not normalise). With ``circular`` the window decays with the
    distance round the circle, min(s, num_taps - s), because lag num_taps - 1 is the next neighbour.
    """

    def __init__(
        self, channels: int, num_taps: int, *, init: TapsInit = "decay", circular: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        self.num_taps = num_taps
        noise = torch.randn(channels, num_taps)
        if init == "decay":
            noise = noise * _decay_window(channels, num_taps, circular=circular)
        elif init != "flat":
            raise unknown_name("taps initialisation", init, ("decay", "flat"))
        self.taps = nn.Parameter(noise / noise.norm(dim=1, keepdim=True))

    def forward(self) -> Tensor:
        """The taps, (channels, num_taps)."""
        return self.taps


def _decay_window(channels: int, num_taps: int, *, circular: bool) -> Tensor:
    lag = torch.arange(num_taps)
    distance = torch.minimum(lag, num_taps - lag) if circular else lag
    time_constant = torch.logspace(0, 1, channels, base=float(num_taps))
    return torch.exp(-distance / time_constant[:, None])
