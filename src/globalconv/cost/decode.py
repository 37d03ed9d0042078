"""Decoding: what one more token costs when those before it are cached.

The plainest code that is not wasteful, eager PyTorch: attention keeps keys and values, a convolution keeps its inputs
and takes their dot product with the taps, for each channel. Both read all that they keep: L numbers for each
channel, attention twice as many, a convolution its taps besides. Over many tokens a convolution can do
better (blocks of them by transforms), and one whose filter is a recurrence needs no cache; none of that is here.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.cost.contenders import Theory
from globalconv.cost.mixers import FLOAT32
from globalconv.errors import InputError
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.mixers.attention import rotate


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
    """Keys and values in a cache (batch, heads, length, head width); rotary positions, or none."""

    def __init__(self, mixer: Attention, past: Tensor) -> None:
        if mixer.positions not in ("rotary", "none"):
            raise InputError(f"decoding has rotary positions and none, not {mixer.positions}.")
        self.mixer = mixer
        batch, before, _ = past.shape
        _, keys, values = self._heads(past)
        size = (batch, mixer.num_heads, before + 1, mixer.head_width)
        self.keys, self.values = past.new_zeros(size), past.new_zeros(size)
        self.keys[:, :, :before] = self._turned(keys, 0)
        self.values[:, :, :before] = values

    def step(self, x: Tensor) -> Tensor:
        query, key, value = self._heads(x[:, None])
        place = self.keys.shape[2] - 1
        self.keys[:, :, place:] = self._turned(key, place)
        self.values[:, :, place:] = value
        mixed = F.scaled_dot_product_attention(self._turned(query, place), self.keys, self.values)
        result: Tensor = self.mixer.output(mixed.reshape(x.shape))
        return result

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values of x (batch, length, width): (batch, heads, length, head width)."""
        split = (*x.shape[:2], self.mixer.num_heads, self.mixer.head_width)
        return tuple(part.reshape(split).transpose(1, 2) for part in self.mixer.project(x).chunk(3, dim=-1))

    def _turned(self, x: Tensor, start: int) -> Tensor:
        if self.mixer.positions == "none":
            return x
        return rotate(x, self.mixer.turns[:, start : start + x.shape[2]])


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
    return Theory(flops, itemsize * (cached + parameters), itemsize * cached, parameters)
