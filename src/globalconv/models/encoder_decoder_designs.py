"""The original and the modern design of the encoder-decoder, with any mixers, at any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from globalconv.errors import InputError, unknown_name
from globalconv.filters import Filter
from globalconv.mixers import build_mixer
from globalconv.mixers.catalogue import accepted
from globalconv.models.aligned_conv import AlignedConv
from globalconv.models.cross_mixer import CrossAttention, CrossMixer
from globalconv.models.encoder_decoder import EncoderDecoder

Design = Literal["original", "modern"]
CROSS_MIXERS: dict[str, type[CrossMixer]] = {"attention": CrossAttention, "aligned_conv": AlignedConv}


@dataclass(frozen=True)
class Size:
    """The size of a model, as in arXiv 1706.03762, table 3."""

    width: int
    depth: int
    heads: int
    mlp_width: int
    dropout: float


SIZES = {"base": Size(512, 6, 8, 2048, dropout=0.1), "big": Size(1024, 6, 16, 4096, dropout=0.3)}
"""With one vocabulary of 37,000 for both languages, base has 63,082,496 parameters and big 214,245,376: the
shared embeddings, and every weight and bias of projections, channel MLPs and norms. The paper prints 65 and
213 million (table 3), for a vocabulary of "about 37000". No way of counting gives 65: the rows of the table that vary
the depth, the channel MLP, the width or the keys all agree with ours, to the last printed digit, at a vocabulary
of 41,000, where base has 65,130,496 (tests/models/test_encoder_decoder_designs.py).
The dropout of big is that of English to German; for French it was 0.1."""


def find_cross_mixer(name: str) -> type[CrossMixer]:
    """The cross mixer of this name in CROSS_MIXERS. Raises InputError for an unknown name."""
    if name not in CROSS_MIXERS:
        raise unknown_name("cross mixer", name, CROSS_MIXERS)
    return CROSS_MIXERS[name]


def build_encoder_decoder(
    vocabulary: int,
    length: int,
    size: Size | str = "base",
    *,
    design: Design = "original",
    encoder: str | Sequence[str] = "attention",
    decoder: str | Sequence[str] = "attention",
    cross: str = "attention",
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> EncoderDecoder:
    """The original Transformer, or the same with other token mixers.

    ``encoder`` and ``decoder``: a mixer's name (see ``globalconv.mixers``) for all blocks, or one per block;
    ``cross``: "attention" or "aligned_conv" (``globalconv.models.cross_mixer``). ``options``: mixer name -> its own
    keyword arguments. ``length`` is the nominal length of source and target.

    ``design="original"`` is the paper's: post-norm, sinusoidal positions, ReLU, Glorot's uniform weights.
    "modern": pre-norm, rotary positions in attention and cross-attention and no added positions, GELU.
    Raises InputError for unknown names and sizes that do not fit.
    """
    if design not in ("original", "modern"):
        raise unknown_name("design", design, ("original", "modern"))
    if isinstance(size, str):
        if size not in SIZES:
            raise unknown_name("size", size, SIZES)
        size = SIZES[size]
    original = design == "original"
    positions = "none" if original else "rotary"
    defaults = {"num_heads": size.heads, "positions": positions}

    def mixers(names: str | Sequence[str], *, causal: bool) -> list[Any]:
        per_block = [names] * size.depth if isinstance(names, str) else list(names)
        if len(per_block) != size.depth:
            raise InputError(
                f"{len(per_block)} mixers are named for {size.depth} blocks. Name one for each block."
            )
        return [
            build_mixer(
                name,
                size.width,
                length,
                causal=causal,
                options={**accepted(name, defaults), **(options or {}).get(name, {})},
            )
            for name in per_block
        ]

    cross_mixer = find_cross_mixer(cross)
    cross_options = {"num_heads": size.heads, "rotary": not original} if cross_mixer is CrossAttention else {}
    model = EncoderDecoder(
        vocabulary,
        mixers(encoder, causal=False),
        mixers(decoder, causal=True),
        [cross_mixer(size.width, length, **cross_options) for _ in range(size.depth)],
        mlp_width=size.mlp_width,
        norm="post" if original else "pre",
        activation="relu" if original else "gelu",
        positions=original,
        dropout=size.dropout,
    )
    if original:
        _draw_as_original(model)
    return model


def _draw_as_original(model: nn.Module) -> None:
    """Draw plain linear layers again. Those inside filters, and of classes with a start of their own, stay."""
    of_filters = {
        id(m) for filter_ in model.modules() if isinstance(filter_, Filter) for m in filter_.modules()
    }
    for module in model.modules():
        if type(module) is nn.Linear and id(module) not in of_filters:
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
