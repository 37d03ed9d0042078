"""FNet's mixing: a Fourier transform over tokens and channels, without a parameter."""

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer, Properties
from globalconv.ops import Integers, check_lengths
from globalconv.ops.flops import real_transform_flops
from globalconv.ops.interface import compute_dtype
from globalconv.ops.lengths import each_length


class FNet(Mixer):
    """y = Re(F_tokens F_channels x): the real part of a two-dimensional discrete Fourier transform (arXiv 2105.03824).

    Equation 3 with orthonormal transforms, so that white noise comes out at 0.71 times its size. Theirs
    (google-research, ``f_net/layers.py``) give sqrt(length width) times as much, and a norm behind the residual sum
    takes that away, where a block of ours has its norm in front. The layer mixes channels as well, has no parameters
    and cannot be causal (InputError). A padded row is transformed over its own tokens; their code transforms the
    padding with it.

    Any length works; each has other frequencies.
    """

    properties = Properties(whole_sequence=True, linear=True)

    def __init__(self, width: int, length: int, *, causal: bool = False) -> None:
        super().__init__(width, length, causal=causal)
        if causal:
            raise InputError("fnet transforms all positions and cannot be causal; leave it out of this task.")

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Transform over the tokens and the channels. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        if lengths is None:
            return _transformed(x)
        return each_length(lengths, x.shape[1], lambda rows, n: _transformed(x[rows, :n]))

    def flops(self, length: int) -> float:
        """A real transform of every token, and a complex one along every channel."""
        return length * real_transform_flops(self.width) + 2.0 * self.width * real_transform_flops(length)


def _transformed(x: Tensor) -> Tensor:
    if not len(x):  # which not every library of transforms takes
        return x.clone()
    along_channels = torch.fft.fft(x.to(compute_dtype(x.dtype)), dim=2, norm="ortho")
    return torch.fft.fft(along_channels, dim=1, norm="ortho").real.to(x.dtype)
