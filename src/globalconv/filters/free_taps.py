"""The plainest filter: every tap is a parameter of its own."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from globalconv.errors import InputError, unknown_name
from globalconv.filters.base import Filter
from globalconv.ops import Mode
from globalconv.ops.conventions import taps_for, taps_that_reach

TapsInit = Literal["decay", "flat", "identity"]


class FreeTaps(Filter):
    """Free taps, one parameter per channel and lag; unit norm per channel at the start.

    ``init="flat"``: white noise, every lag alike. ``init="decay"``: white noise under an exponential
    window whose time constant runs, evenly on a log scale, from 1 lag in the first channel to the farthest
    in the last, so that training starts with near and far neighbours in reach of some
    channel (after LongConv's decay initialisation, arXiv 2302.06646, section 3.1; theirs fixes the
    constants otherwise and does not normalise). ``init="identity"``: 1 at lag 0, 0 elsewhere.
    The window decays with the distance from lag 0, in a circle min(s, length - s).

    ``taps``: how many lags there are, the nominal length at most; None: as many as that. More tokens than lags see the
    nearest; so do fewer.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        init: TapsInit = "decay",
        taps: int | None = None,
    ) -> None:
        super().__init__(channels, length, mode=mode)
        if init not in get_args(TapsInit):
            raise unknown_name("taps initialisation", init, get_args(TapsInit))
        self.init = init
        if taps is not None and taps < 1:
            raise InputError(f"taps {taps}: a filter has at least 1.")
        self.num_lags = length if taps is None else min(taps, length)
        self.taps = nn.Parameter(torch.empty(channels, taps_for(self.num_lags, mode)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the taps again, in float32 whatever the parameter's dtype, and round once."""
        with torch.no_grad():
            self.taps.copy_(self._drawn(self.taps.device))

    def _drawn(self, device: torch.device) -> Tensor:
        distance = self._distance(device)
        # Whatever comes of it, so that what is drawn next does not depend on the initialisation.
        noise = torch.randn(self.taps.shape, dtype=torch.float32, device=device)
        if self.init == "identity":
            return (distance == 0).float().expand(self.channels, -1)
        if self.init == "decay":
            time_constant = torch.logspace(
                0, 1, self.channels, base=float(self.num_lags), dtype=torch.float32, device=device
            )
            noise = noise * torch.exp(-distance / time_constant[:, None])
        return noise / noise.norm(dim=1, keepdim=True)

    def _distance(self, device: torch.device) -> Tensor:
        """From lag 0, of each tap."""
        num_taps = self.taps.shape[1]
        tap = torch.arange(num_taps, device=device)
        if self.mode == "bidirectional":
            return (tap - num_taps // 2).abs()
        return torch.minimum(tap, num_taps - tap) if self.mode == "circular" else tap

    def forward(self, length: int) -> Tensor:
        """The taps, without those that reach beyond ``length`` tokens in a circle. See ``Filter``."""
        return taps_that_reach(self.taps, length, self.mode)

    @property
    def nested(self) -> bool:
        """See ``Filter``: a row that ends earlier uses the first taps."""
        return True

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        return min(length, self.num_lags)

    def extra_repr(self) -> str:
        """Its size, mode and how it starts."""
        return f"{super().extra_repr()}, init='{self.init}'"
