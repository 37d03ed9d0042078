"""Every causal mixer that can be decoded, with every weight drawn, and how one is taken through a sequence."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from globalconv.decoding import MixerState
from globalconv.mixers import Attention, GatedConv, GlobalConv, Mixer

BUILDS: dict[str, Callable[..., Mixer]] = {
    **{
        f"attention, {positions}": partial(Attention, num_heads=2, positions=positions)
        for positions in ("rotary", "learned", "sinusoidal", "none")
    },
    "global_conv": GlobalConv,
    "gated_conv": GatedConv,
    "global_conv, flat": partial(GlobalConv, init="flat"),
    "global_conv, shared filters": partial(GlobalConv, num_filters=2),
    "gated_conv, one filter": partial(GatedConv, num_filters=1),
}
WIDTH = 4


def drawn(name: str, length: int, *, seed: int, width: int = WIDTH, **options: str) -> Mixer:
    """A causal mixer in float64. Every parameter is drawn: zeros and ones hide what does not use them."""
    torch.manual_seed(seed)
    mixer = BUILDS[name](width, length, causal=True, **options)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return mixer.double()


def steps(state: MixerState, x: Tensor) -> Tensor:
    """One token after the other; (batch, n, width) in and out."""
    return torch.stack([state.step(x[:, t]) for t in range(x.shape[1])], dim=1)


def decoded(state: MixerState, x: Tensor, *, prompt: int) -> Tensor:
    """The first ``prompt`` tokens in parallel, and the others one after the other."""
    first = state.prefill(x[:, :prompt])
    return torch.cat([first, steps(state, x[:, prompt:])], dim=1) if prompt < x.shape[1] else first


def worst_error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the expected norm per number, at least 1."""
    scale = max(1.0, float(expected.detach().square().mean().sqrt()))
    return float((found - expected).abs().max()) / scale
