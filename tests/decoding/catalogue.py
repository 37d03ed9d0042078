"""Every causal mixer that can be decoded, with every weight drawn, and how one is taken through a sequence."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from globalconv.decoding import MixerState
from globalconv.mixers import (
    AFT,
    GMLP,
    H3,
    Attention,
    DynamicConv,
    GatedConv,
    GatedDelta,
    GlobalConv,
    Hyena,
    LightConv,
    LinearAttention,
    LocalConv,
    Mixer,
    NoMixing,
    Synthesizer,
)

BUILDS: dict[str, Callable[..., Mixer]] = {
    **{
        f"attention, {positions}": partial(Attention, num_heads=2, positions=positions)
        for positions in ("rotary", "learned", "sinusoidal", "none")
    },
    "attention, short taps": partial(Attention, num_heads=2, short_taps=3),
    "attention, window of 3": partial(Attention, num_heads=2, window=3),
    "attention, window of 3, learned, short taps": partial(
        Attention, num_heads=2, window=3, positions="learned", short_taps=2
    ),
    "none": NoMixing,
    "local_conv": LocalConv,
    "local_conv, 9 taps": partial(LocalConv, taps=9),
    "global_conv": GlobalConv,
    "gated_conv": GatedConv,
    "global_conv, flat": partial(GlobalConv, init="flat"),
    "global_conv, shared filters": partial(GlobalConv, num_filters=2),
    "gated_conv, one filter": partial(GatedConv, num_filters=1),
    "gated_conv, no short taps": partial(GatedConv, short_taps=0),
    "gated_conv, s4d": partial(GatedConv, filter="s4d", states=4),
    "global_conv, exponential": partial(GlobalConv, filter="exponential", num_filters=2),
    "global_conv, implicit": partial(GlobalConv, filter="implicit"),
    "linear_attention": partial(LinearAttention, num_heads=2),
    "linear_attention, scalar": partial(LinearAttention, num_heads=2, decay="scalar", short_taps=3),
    "linear_attention, vector": partial(LinearAttention, num_heads=1, decay="vector"),
    "aft, learned places": partial(AFT, rank=2),
    "aft, local and learned": partial(AFT, rank=0, window=3),
    "gated_delta": partial(GatedDelta, num_heads=2),
    "gated_delta, no short taps": partial(GatedDelta, num_heads=1, short_taps=0),
    "hyena, order 3": partial(Hyena, order=3, hidden=8),
    "hyena, one free filter": partial(Hyena, filter="free", num_filters=1),
    "h3": partial(H3, states=4, short_taps=5),
    "light_conv": partial(LightConv, num_heads=2),
    "dynamic_conv": partial(DynamicConv, num_heads=2),
    "gmlp": GMLP,
    "synthesizer": partial(Synthesizer, num_heads=2),
    "synthesizer, linear": partial(Synthesizer, num_heads=1, rows="linear"),
}
ENDS_AT_ITS_LENGTH = [
    name for name in BUILDS if "learned" in name or name.startswith(("gmlp", "synthesizer"))
]
"""Those that have weights for so many places and no more."""
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
