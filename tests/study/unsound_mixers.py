"""Mixers from outside that go wrong, for studies that must go on all the same."""

from typing import Any

import torch
from torch import Tensor

from globalconv.mixers import GlobalConv


class DivergesWithSeedOne(GlobalConv):
    """NaN in every run of seed 1, and in no other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.spoils = torch.initial_seed() == 1

    def forward(self, x: Tensor) -> Tensor:
        """A convolution, times NaN with seed 1."""
        return super().forward(x) * (float("nan") if self.spoils else 1.0)


class DivergesWhenScored(GlobalConv):
    """Trains well, and gives NaN in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        """A convolution, times NaN in evaluation mode."""
        return super().forward(x) * (1.0 if self.training else float("nan"))


class RandomWhenScored(GlobalConv):
    """Adds a little noise, always: no probe can tell what it computes."""

    def forward(self, x: Tensor) -> Tensor:
        """A convolution, and noise."""
        return super().forward(x) + 1e-3 * torch.randn_like(x)
