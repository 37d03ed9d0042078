"""How many parameters models and mixers have, by the formulas of a paper rather than by their modules."""

from collections.abc import Callable, Sequence

from torch import nn

from globalconv.mixers import (
    AFT,
    GMLP,
    H3,
    Attention,
    CirculantAttention,
    DynamicConv,
    FNet,
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
    TokenMLP,
)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def mixer_parameters(mixer: Mixer) -> int:
    """Of a mixer with its default options, not causal, of more tokens than it has few taps."""
    width, length = mixer.width, mixer.length
    projection = width * width + width
    implicit = (5 + 1) * 64 + (64 + 1) * 64 + 64 + 2 * width * 64
    s4d = 2 * (width + 32 * 4 * width)
    formulas: dict[type[Mixer], Callable[[], int]] = {
        NoMixing: lambda: width,
        LocalConv: lambda: 3 * width + width,
        GlobalConv: lambda: length * width + width,
        GatedConv: lambda: 4 * projection + 3 * 3 * width + length * width + width,
        Hyena: lambda: 4 * projection + 3 * 3 * width + implicit + width,
        GatedDelta: lambda: 5 * width * width + (2 * 4 * width + 2 * 4) + 3 * 3 * width + width // 4,
        LinearAttention: lambda: 4 * projection,
        AFT: lambda: 4 * projection + 2 * length * 32,
        CirculantAttention: lambda: 2 * width * width + 4 * width + width,
        H3: lambda: 4 * projection + min(64, length) * width + s4d + width,
        LightConv: lambda: 3 * projection + 4 * 7,
        DynamicConv: lambda: 3 * projection + width * 4 * 7,
        TokenMLP: lambda: 2 * length * 2 * length + 2 * length + length,
        GMLP: lambda: 3 * projection + 2 * width + length * length + length,
        FNet: lambda: 0,
        Synthesizer: lambda: 2 * projection + 4 * length * length,
        Attention: lambda: (
            4 * projection + (length * width if getattr(mixer, "positions", "") == "learned" else 0)
        ),
    }
    return formulas[type(mixer)]()


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
