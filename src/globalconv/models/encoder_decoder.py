"""The encoder-decoder of "Attention Is All You Need", with any token mixer in every block."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.models.block import Activation, Norm
from globalconv.models.cross_mixer import CrossMixer
from globalconv.models.embedding import SharedEmbedding, SinusoidalPositions
from globalconv.models.stack import Stack
from globalconv.ops import Integers, check_lengths

EARLIER_NAMES = (
    (r"\b(encoder|decoder)\.(\d+)\.mix\.branch\.", r"\1.blocks.\2.mixer."),
    (r"\b(encoder|decoder)\.(\d+)\.mix\.norm\.", r"\1.blocks.\2.mixer_norm."),
    (r"\b(encoder|decoder)\.(\d+)\.(cross|mlp)\.branch\.", r"\1.blocks.\2.\3."),
    (r"\b(encoder|decoder)\.(\d+)\.(cross|mlp)\.norm\.", r"\1.blocks.\2.\3_norm."),
    (r"\b(encoder|decoder)_norm\.", r"\1.norm."),
)
"""Patterns of the names of encoder-decoder weights before 2026-11, and their present names."""


def current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` with present names; names of earlier versions are translated."""
    return {_current(name): weight for name, weight in weights.items()}


def _current(name: str) -> str:
    for earlier, now in EARLIER_NAMES:
        name = re.sub(earlier, now, name)
    return name


def _rename(module: nn.Module, weights: dict[str, Tensor], prefix: str, *others: Any) -> None:
    """Hook before a state_dict is loaded into ``module``: rename earlier names below ``prefix``."""
    for name in [name for name in weights if name.startswith(prefix)]:
        weights[prefix + _current(name.removeprefix(prefix))] = weights.pop(name)


class EncoderDecoder(nn.Module):
    """Source and target tokens -> logits of the next target token (arXiv 1706.03762, figure 1).

    One mixer per block: ``encoder_mixers`` see the whole source (none may be causal), ``decoder_mixers``
    must be causal; ``cross_mixers`` read the encoder's output in the decoder blocks. One scaled embedding
    is shared by source, target and output. ``norm="post"`` is the paper's (section 3.1: the norm
    after each residual sum, none at a stack's end); "pre" puts it before each branch and one at each end.
    ``positions``: add sinusoids to both embeddings; without them the mixers must know the order.
    ``dropout`` acts on every branch's output and on the embeddings (section 5.4), not inside attention.

    Raises InputError for parts that do not fit together.
    """

    def __init__(
        self,
        vocabulary: int,
        encoder_mixers: Sequence[Mixer],
        decoder_mixers: Sequence[Mixer],
        cross_mixers: Sequence[CrossMixer],
        *,
        mlp_width: int,
        norm: Norm = "pre",
        activation: Activation = "gelu",
        positions: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_parts(encoder_mixers, decoder_mixers, cross_mixers)
        width = encoder_mixers[0].width
        self.width = width
        self.embed = SharedEmbedding(vocabulary, width)
        self.position = SinusoidalPositions() if positions else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        options: dict[str, Any] = {"norm": norm, "activation": activation, "dropout": dropout}
        # The channel MLPs start like nn.Linear, at any depth.
        self.encoder = Stack(encoder_mixers, mlp_width=mlp_width, scale=1.0, **options)
        self.decoder = Stack(decoder_mixers, cross_mixers, mlp_width=mlp_width, scale=1.0, **options)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The blocks' current token mixers, the encoder's first."""
        return (*self.encoder.mixers, *self.decoder.mixers)

    @property
    def cross_mixers(self) -> tuple[CrossMixer, ...]:
        """The decoder blocks' current cross mixers."""
        return self.decoder.cross_mixers

    @property
    def length(self) -> int:
        """The nominal length of source and target that every mixer takes."""
        lengths = [*(mixer.length for mixer in self.mixers), *(cross.length for cross in self.cross_mixers)]
        return min(lengths)

    def forward(self, source: Tensor, target: Tensor, lengths: Integers | None = None) -> Tensor:
        """Logits (batch, target length, vocabulary) of the token after each target token.

        ``source`` (batch, source length) and ``target`` (batch, target length) int64, real tokens first;
        ``lengths`` (batch,), integers: the number of real tokens in each source; None: no padding.
        """
        lengths = check_lengths(lengths, source)
        return self.decode(self.encode(source, lengths), target, lengths)

    def encode(self, source: Tensor, lengths: Integers | None = None) -> Tensor:
        """The memory, (batch, source length, width); 0 at the padding."""
        return self.encoder(self._embedded(source), check_lengths(lengths, source))

    def decode(self, memory: Tensor, target: Tensor, lengths: Integers | None = None) -> Tensor:
        """Logits of the token after each target token, given the memory and its lengths."""
        lengths = check_lengths(lengths, memory)
        return self.embed.logits(self.decoder(self._embedded(target), lengths, memory=memory))

    def _embedded(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.position(self.embed(tokens)))

    def flops(self, length: int) -> float:
        """Forward flops for a source and a target of ``length`` tokens each, 2 per multiply-add."""
        logits = 2.0 * length * self.embed.weight.numel()
        return self.encoder.flops(length) + self.decoder.flops(length) + logits


def _check_parts(encoder: Sequence[Mixer], decoder: Sequence[Mixer], cross: Sequence[CrossMixer]) -> None:
    if not encoder or not decoder or len(cross) != len(decoder):
        raise InputError(
            f"an encoder-decoder needs a mixer per block and a cross mixer per decoder block, but it got "
            f"{len(encoder)} encoder, {len(decoder)} decoder and {len(cross)} cross mixers."
        )
    widths = {mixer.width for mixer in (*encoder, *decoder)} | {mixer.width for mixer in cross}
    if len(widths) != 1:
        raise InputError(f"all mixers must have the same width, but they have {sorted(widths)}.")
    blind = sorted({type(m).__name__ for m in encoder if m.causal})
    if blind:
        raise InputError(f"an encoder must see the whole source. Build {', '.join(blind)} with causal=False.")
    leaking = sorted({type(m).__name__ for m in decoder if not m.causal})
    if leaking:
        raise InputError(f"a decoder needs causal mixers. Build {', '.join(leaking)} with causal=True.")
