"""The simplest filter: every tap is a parameter."""

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

    ``init="flat"`` is white noise of the same size at every lag. ``init="decay"`` is white noise under an exponential
    window whose time constant goes, evenly on a log scale, from 1 lag in the first channel to the number of lags
    in the last, so that training starts with some channels that see near tokens and some that see far ones. It follows
    LongConv's decay initialisation (arXiv 2302.06646, section 3.1), which chooses other constants and does not
    normalise. ``init="identity"`` is 1 at lag 0 and 0 elsewhere. The window decays with the distance from lag 0, which
    is min(s, length - s) in mode circular.

    ``taps``: the number of lags, at most the nominal length, which None selects. Inputs of other lengths use the
    nearest lags.
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
            raise InputError(f"taps {taps}: a filter needs at least 1.")
        self.num_lags = length if taps is None else min(taps, length)
        self.taps = nn.Parameter(torch.empty(channels, taps_for(self.num_lags, mode)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the taps in float32 for any dtype of the parameter, and round once."""
        with torch.no_grad():
            self.taps.copy_(self._drawn(self.taps.device))

    def _drawn(self, device: torch.device) -> Tensor:
        distance = self._distance(device)
        # Always drawn, so that later draws do not depend on the initialisation.
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
        """The distance of each tap from lag 0."""
        num_taps = self.taps.shape[1]
        tap = torch.arange(num_taps, device=device)
        if self.mode == "bidirectional":
            return (tap - num_taps // 2).abs()
        return torch.minimum(tap, num_taps - tap) if self.mode == "circular" else tap

    def forward(self, length: int) -> Tensor:
        """The taps, in mode circular without those beyond ``length`` tokens. See ``Filter``."""
        return taps_that_reach(self.taps, length, self.mode)

    @property
    def nested(self) -> bool:
        """See ``Filter``: a shorter row uses the first taps."""
        return True

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        return min(length, self.num_lags)

    def extra_repr(self) -> str:
        """Size, mode and initialisation."""
        return f"{super().extra_repr()}, init='{self.init}'"
