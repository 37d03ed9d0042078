"""GFNet's filter: weights of frequencies."""

import torch
from torch import Tensor, nn

from globalconv.filters.base import Filter
from globalconv.filters.precision import wide
from globalconv.ops import Mode
from globalconv.ops.conventions import taps_for, taps_that_reach


class Fourier(Filter):
    """Taps whose orthonormal Fourier transform is free: the global filter of arXiv 2107.00645, equation 4, in 1-D.

    This is a rotation of free taps: the filters and the number of parameters are the same, but Adam, which scales each
    parameter separately, takes other steps. The taps start as white noise in frequency and so in lag. Longer inputs see
    as many lags as the nominal length; shorter inputs see the first lags.
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal") -> None:
        super().__init__(channels, length, mode=mode)
        self.num_taps = taps_for(length, mode)
        self.spectrum = nn.Parameter(torch.empty(channels, self.num_taps))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw white noise of unit norm; the real basis is orthonormal, so the taps have the same norm."""
        with torch.no_grad():
            self.spectrum.normal_()
            self.spectrum.div_(self.spectrum.norm(dim=1, keepdim=True))

    def forward(self, length: int) -> Tensor:
        """See ``Filter``."""
        return taps_that_reach(_from_real_spectrum(self.spectrum), length, self.mode)

    @property
    def nested(self) -> bool:
        """See ``Filter``."""
        return True

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        return min(length, self.length)


def _from_real_spectrum(spectrum: Tensor) -> Tensor:
    """Taps from as many real numbers: the mean, pairs of sqrt 2 cos and sqrt 2 sin, and one last cos if even."""
    exact = wide(spectrum)
    channels, num = exact.shape
    zero = exact.new_zeros(channels, 1)
    single = 2**0.5 * exact[:, :1], 2**0.5 * exact[:, num - 1 + num % 2 :]
    paired = exact[:, 1 : num - 1 + num % 2]
    # Real and imaginary parts side by side; those of single coefficients are real.
    halves = [single[0], zero, paired] if num % 2 else [single[0], zero, paired, single[1], zero]
    whole = torch.view_as_complex(torch.cat(halves, dim=1).unflatten(1, (-1, 2)))
    return torch.fft.irfft(whole, n=num, norm="ortho") / 2**0.5
