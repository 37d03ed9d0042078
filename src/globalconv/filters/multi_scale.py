"""SGConv's filter: short filters, stretched to increasing scales."""

import math

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.precision import places, wide
from globalconv.filters.response import Response, sized
from globalconv.ops import Mode


class MultiScale(Response):
    """One short filter per scale, concatenated: lengths d, d, 2d, 4d ..., weights 1, 1/2, 1/4 ...

    SGConv (arXiv 2210.09298, section 3.2, and its authors' code): the filter of each scale has ``taps_per_scale`` free
    taps. It is stretched by linear interpolation, and its weight is multiplied by ``decay`` for each doubling. SGConv
    divides by the norm at the first call; here the taps are scaled to unit norm when they are drawn. Beyond the nominal
    length, taps are 0.
    """

    def __init__(
        self,
        channels: int,
        length: int,
        *,
        mode: Mode = "causal",
        taps_per_scale: int = 32,
        decay: float = 0.5,
    ) -> None:
        super().__init__(channels, length, mode=mode)
        if taps_per_scale < 1 or not 0 < decay <= 1:
            raise InputError(
                f"taps_per_scale {taps_per_scale} and decay {decay}: use at least 1, and a decay in (0, 1]."
            )
        self.taps_per_scale = min(taps_per_scale, length)
        self.decay = decay
        self.scales = 1 + math.ceil(math.log2(length / self.taps_per_scale))
        shape = (self.scales, self.sides, channels, self.taps_per_scale)
        self.taps = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw white noise at each scale."""
        with torch.no_grad():
            self.taps.normal_()
            norm = self(self.length).norm(dim=1).clamp_min(torch.finfo(self.taps.dtype).tiny)
            self.taps.div_(norm[:, None])

    def response(self, num: int) -> Tensor:
        """See ``Response``."""
        stretched = [
            self.decay**scale * taps @ _stretching(taps.shape[-1], 2 ** max(0, scale - 1), like=taps)
            for scale, taps in enumerate(wide(self.taps))
        ]
        return sized(torch.cat(stretched, dim=2)[..., : self.length], num)

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        return min(length, self.length)

    def extra_repr(self) -> str:
        """Size, mode and scales."""
        return f"{super().extra_repr()}, taps_per_scale={self.taps_per_scale}, decay={self.decay}"


def _stretching(num: int, factor: int, *, like: Tensor) -> Tensor:
    """(num, num factor): linear interpolation at the middles of the stretched taps, constant beyond the ends.

    It equals torch.nn.functional.interpolate with mode "linear", as a matrix product, whose backward pass is one too.
    """
    middle = ((places(num * factor, like=like) + 0.5) / factor - 0.5).clamp(0, num - 1)
    return (1 - (middle - places(num, like=like)[:, None]).abs()).clamp_min(0)
