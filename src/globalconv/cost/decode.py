"""Decoding the plain way: what one more token costs when those before it are cached.

The plainest code that is not wasteful, eager PyTorch: attention keeps keys and values, a convolution keeps its inputs
and takes their dot product with the taps, for each channel. Both read all that they keep: L numbers for each channel,
attention twice as many, a convolution its taps besides. One step stands for any other, which is why this can be
measured at a length; what `globalconv.decoding` does for a convolution is cheaper over many tokens, and most of its
steps cost nearly nothing while a few cost much (docs/decoding.md).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.cost.contenders import Theory
from globalconv.cost.mixers import FLOAT32
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.mixers.attention import AttentionState


class Decoder(ABC):
    """A causal mixer at the last place of its nominal length: ``past`` (batch, length - 1, width) is cached."""

    @abstractmethod
    def step(self, x: Tensor) -> Tensor:
        """The output (batch, width) for the token ``x`` (batch, width), which goes into the cache's last place.

        Calling it again replaces that token. To be called without gradients.
        """


def decoder_of(mixer: Mixer, past: Tensor) -> Decoder:
    """The decoder of ``mixer``; ``past`` (batch, length - 1, width). InputError for a mixer that has none."""
    if not mixer.causal:
        raise InputError("only a causal mixer can decode; build it with causal=True.")
    if type(mixer) not in DECODERS:
        names = ", ".join(kind.__name__ for kind in DECODERS)
        raise InputError(f"there is no decoder for {type(mixer).__name__}; there is for {names}.")
    with torch.no_grad():
        return DECODERS[type(mixer)](mixer, past)


class AttentionDecoder(Decoder):
    """The state that attention is decoded with, put back by a token after each."""

    def __init__(self, mixer: Attention, past: Tensor) -> None:
        batch, self.before, _ = past.shape
        self.state = AttentionState(mixer, batch=batch, longest=self.before + 1)
        self.state.remember(past)

    def step(self, x: Tensor) -> Tensor:
        self.state.count = self.before
        return self.state.step(x)


class GlobalConvDecoder(Decoder):
    """The inputs in a cache (batch, width, length), and the taps in the order of its places."""

    def __init__(self, mixer: GlobalConv, past: Tensor) -> None:
        self.skip = mixer.skip
        self.history = _History(mixer.filter(), past)

    def step(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.history.dot(x), self.skip, x)


class GatedConvDecoder(Decoder):
    """The short convolution's last inputs, and the long one's: the gated values."""

    def __init__(self, mixer: GatedConv, past: Tensor) -> None:
        self.mixer = mixer
        width, few = mixer.width, mixer.short_filter.num_taps
        projected = mixer.project(past)
        short = mixer.short_filter()
        before = F.pad(projected, (0, 0, few - 1, 0))
        windows = (
            before.unfold(1, few, 1) if past.shape[1] else projected[..., None].expand(*projected.shape, few)
        )
        met = (windows * short.flip(1)).sum(-1)
        self.short = _History(short, before[:, before.shape[1] - (few - 1) :])
        self.long = _History(mixer.filter(), met[..., width : 2 * width] * met[..., 2 * width :])

    def step(self, x: Tensor) -> Tensor:
        query, key, value = self.short.dot(self.mixer.project(x)).chunk(3, dim=-1)
        gated = key * value
        result: Tensor = self.mixer.output(
            query * torch.addcmul(self.long.dot(gated), self.mixer.skip, gated)
        )
        return result


class _History:
    """As many inputs as there are taps; the dot product of both, for each channel of each sequence.

    By a product and a sum, each one pass over memory: bmm, einsum and conv1d were measured 2 to 20 times slower
    at this on a CPU. The products' place is kept from call to call, as a fresh one costs page faults.
    """

    def __init__(self, taps: Tensor, past: Tensor) -> None:
        width, num_taps = taps.shape
        self.taps = taps.flip(1).contiguous()
        self.inputs = past.new_zeros(past.shape[0], width, num_taps)
        self.inputs[:, :, : num_taps - 1] = past.mT
        self.products = torch.empty_like(self.inputs)

    def dot(self, x: Tensor) -> Tensor:
        """sum_s h[s] x[-s], (batch, width), the last x being ``x``."""
        self.inputs[:, :, -1] = x
        return torch.mul(self.inputs, self.taps, out=self.products).sum(-1)


DECODERS: dict[type[Mixer], type] = {
    Attention: AttentionDecoder,
    GlobalConv: GlobalConvDecoder,
    GatedConv: GatedConvDecoder,
}


def decode_theory(mixer: Mixer, *, batch: int, itemsize: int = FLOAT32) -> Theory:
    """Of one step: the products with weights and with all that is cached, and the bytes of both.

    The new token's own few numbers are not counted as bytes: weights and cache are what must be read.
    """
    length, width = mixer.length, mixer.width
    cached = batch * length * width
    parameters = sum(parameter.numel() for parameter in mixer.parameters())
    if isinstance(mixer, Attention):
        flops = batch * 8.0 * width**2 + 4.0 * cached
        cached *= 2
    elif isinstance(mixer, GatedConv):
        few = mixer.short_filter.num_taps
        flops = batch * (8.0 * width**2 + 6.0 * few * width) + 2.0 * cached
        cached += 3 * batch * width * few
    elif isinstance(mixer, GlobalConv):
        flops = 2.0 * cached
    else:
        raise InputError(f"there is no decoder for {type(mixer).__name__}.")
    read = parameters
    if isinstance(mixer, Attention) and mixer.positions == "learned":
        read -= (length - 1) * width  # of the table, the new token's row
    return Theory(flops, itemsize * (cached + read), itemsize * cached, parameters)
