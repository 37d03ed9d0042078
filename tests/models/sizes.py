"""How many parameters models and mixers have, by the formulas of a paper rather than by their modules."""

from collections.abc import Sequence

from torch import nn

from globalconv.mixers import (
    Attention,
    GatedConv,
    GatedDelta,
    GlobalConv,
    LinearAttention,
    LocalConv,
    Mixer,
    NoMixing,
    TokenMLP,
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def mixer_parameters(mixer: Mixer) -> int:
    width, length = mixer.width, mixer.length
    projections = 4 * (width * width + width)
    if isinstance(mixer, Attention):
        return projections + (length * width if mixer.positions == "learned" else 0)
    if isinstance(mixer, GlobalConv):
        return length * width + width
    if isinstance(mixer, GatedConv):
        return projections + min(3, length) * 3 * width + length * width + width
    if isinstance(mixer, LinearAttention):
        return projections
    if isinstance(mixer, NoMixing):
        return width
    if isinstance(mixer, LocalConv):
        return 4 * width
    if isinstance(mixer, GatedDelta):
        heads = mixer.num_heads
        rates = 2 * heads * width + 2 * heads
        return 5 * width * width + rates + min(3, length) * 3 * width + width // heads
    assert isinstance(mixer, TokenMLP)
    return 2 * length * mixer.hidden + mixer.hidden + length


def stack_parameters(mixers: Sequence[Mixer], *, mlp_width: int) -> int:
    """Two norms, a mixer and a channel MLP per block, and a last norm."""
    width = mixers[0].width
    mlp = 2 * width * mlp_width + mlp_width + width
    return sum(mixer_parameters(mixer) + mlp + 4 * width for mixer in mixers) + 2 * width


def classifier_parameters(
    mixers: Sequence[Mixer],
    *,
    mlp_width: int,
    classes: int,
    positions: bool,
    length: int,
    channels: int | None = None,
    vocabulary: int | None = None,
) -> int:
    width = mixers[0].width
    embedding = vocabulary * width if vocabulary else (channels or 0) * width + width
    table = length * width if positions else 0
    return embedding + table + stack_parameters(mixers, mlp_width=mlp_width) + width * classes + classes


def language_model_parameters(
    mixers: Sequence[Mixer], *, mlp_width: int, vocabulary: int, positions: bool
) -> int:
    return classifier_parameters(
        mixers,
        mlp_width=mlp_width,
        classes=vocabulary,
        positions=positions,
        length=mixers[0].length,
        vocabulary=vocabulary,
    )
