"""Decoding, as `globalconv generate` does it: what a token costs, the mean over a sequence of the mixer's length."""

from collections.abc import Callable

import torch
from torch import Tensor

from globalconv.mixers import Mixer
from globalconv.states import begin, recomputes


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
