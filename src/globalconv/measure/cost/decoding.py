"""Decoding, as `globalconv generate` does it: what a token costs, the mean over a sequence of the mixer's length."""

from collections.abc import Callable

import torch
from torch import Tensor

from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer
from globalconv.ops.flops import spectral_flops
from globalconv.states import begin, recomputes
from globalconv.states.online import BLOCK, ring_places


def decodes(mixer: Mixer) -> bool:
    """Whether ``mixer`` has a state to decode with, so that it is not computed again for every token."""
    return mixer.causal and not recomputes(mixer)


def decoding_call(mixer: Mixer, x: Tensor) -> Callable[[], object]:
    """Decodes the tokens ``x``, (batch, length, width), one after the other; the last one's output.

    The state is begun outside the call, which works on a copy.
    """
    begun = begin(mixer, batch=x.shape[0], longest=x.shape[1])
    rows = torch.arange(x.shape[0], device=x.device)
    tokens = [token.contiguous() for token in x.unbind(1)]

    def call() -> object:
        state = begun.select(rows)
        for token in tokens[:-1]:
            state.step(token)
        return state.step(tokens[-1])

    return call


def decoding_flops(mixer: Mixer) -> float:
    """Flops of a token of one sequence, the mean over ``mixer.length`` tokens, of a mixer of the catalogue.

    By formula: a few tokens of a convolution cost more than all others, so a count would have to decode all of them.
    """
    length, width = mixer.length, mixer.width
    if isinstance(mixer, Attention):
        rotary = 6.0 * width if mixer.positions == "rotary" else 0.0
        return 8.0 * width**2 + rotary + 2.0 * (length + 1) * width
    assert isinstance(mixer, GlobalConv | GatedConv)
    flops = width * _online_flops(length, mixer.filter.num_taps)
    if isinstance(mixer, GatedConv):
        flops += 8.0 * width**2 + 6.0 * mixer.short_filter.num_taps * width + 2.0 * width
    return flops


def _online_flops(length: int, num_taps: int) -> float:
    """Of a token and channel of ``OnlineConvolution``: products inside a block, and a tile after each block."""
    block, ring = min(BLOCK, length), ring_places(num_taps, length)
    products = sum(2.0 * (block - token % BLOCK) for token in range(length))
    sizes = (min(count & -count, ring) for count in range(BLOCK, length, BLOCK))
    return (products + sum(spectral_flops(2 * size, 1, wrapped=True) + size for size in sizes)) / length
