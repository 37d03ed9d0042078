"""The plainest filter: every tap is a parameter of its own."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from globalconv.errors import unknown_name
from globalconv.filters.base import Filter
from globalconv.ops import Mode

TapsInit = Literal["decay", "flat", "identity"]


class FreeTaps(Filter):
    """Free taps, one parameter per channel and lag; unit norm per channel at the start.

    ``init="flat"``: white noise, every lag alike. ``init="decay"``: white noise under an exponential
    window whose time constant runs, evenly on a log scale, from 1 lag in the first channel to the farthest
    in the last, so that training starts with near and far neighbours in reach of some
    channel (after LongConv's decay initialisation, arXiv 2302.06646, section 3.1; theirs fixes the
    constants otherwise and does not normalise). ``init="identity"``: 1 at lag 0, 0 elsewhere.

    ``mode`` is the operator's, and says which lag a tap has: s in modes causal and circular, j - (num_taps - 1) / 2 in
    mode bidirectional. The window decays with the distance from lag 0, in a circle min(s, num_taps - s).
    """

    def __init__(
        self, channels: int, num_taps: int, *, init: TapsInit = "decay", mode: Mode = "causal"
    ) -> None:
        super().__init__()
        if init not in get_args(TapsInit):
            raise unknown_name("taps initialisation", init, get_args(TapsInit))
        assert mode != "bidirectional" or num_taps % 2, "as many taps on either side of lag 0"
        self.channels = channels
        self.num_taps = num_taps
        self.init = init
        self.mode = mode
        self.taps = nn.Parameter(torch.empty(channels, num_taps))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the taps anew, in float32 whatever the parameter's dtype, and round once."""
        with torch.no_grad():
            self.taps.copy_(self._drawn(self.taps.device))

    def _drawn(self, device: torch.device) -> Tensor:
        distance = self._distance(device)
        # Whatever comes of it, so that what is drawn next does not depend on the initialisation.
        noise = torch.randn(self.channels, self.num_taps, dtype=torch.float32, device=device)
        if self.init == "identity":
            return (distance == 0).float().expand(self.channels, -1)
        if self.init == "decay":
            base = (self.num_taps + 1) // 2 if self.mode == "bidirectional" else self.num_taps
            time_constant = torch.logspace(
                0, 1, self.channels, base=float(base), dtype=torch.float32, device=device
            )
            noise = noise * torch.exp(-distance / time_constant[:, None])
        return noise / noise.norm(dim=1, keepdim=True)

    def _distance(self, device: torch.device) -> Tensor:
        """From lag 0, of each tap."""
        tap = torch.arange(self.num_taps, device=device)
        if self.mode == "bidirectional":
            return (tap - self.num_taps // 2).abs()
        return torch.minimum(tap, self.num_taps - tap) if self.mode == "circular" else tap

    def forward(self) -> Tensor:
        """The taps, (channels, num_taps)."""
        return self.taps

    def extra_repr(self) -> str:
        """Its size, and how it starts."""
        return f"{self.channels}, {self.num_taps}, init='{self.init}', mode='{self.mode}'"
