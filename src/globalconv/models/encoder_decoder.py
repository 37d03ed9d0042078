"""The encoder-decoder of "Attention Is All You Need", with any token mixer in every block."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.models.block import Activation, ChannelMLP, check_all_take_lengths
from globalconv.models.cross import CrossMixer
from globalconv.models.embedding import SharedEmbedding, SinusoidalPositions
from globalconv.ops import Integers, check_lengths

Norm = Literal["pre", "post"]


class Residual(nn.Module):
    """x + dropout(branch(norm(x))) where the norm stands before the branch, else norm(x + dropout(branch(x)))."""

    def __init__(self, branch: nn.Module, width: int, *, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.branch = branch
        self.norm = nn.LayerNorm(width)
        self.norm_first = norm == "pre"
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        """(batch, length, width) -> the same. ``others`` go to the branch as they are."""
        return self.around(self.branch, x, *others)

    def extra_repr(self) -> str:
        """Where its norm stands."""
        return f"norm='{'pre' if self.norm_first else 'post'}'"

    def around(self, branch: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
        """``forward`` with another ``branch``, such as a mixer's state; (..., width) -> the same."""
        if self.norm_first:
            return x + self.dropout(branch(self.norm(x), *others))
        result: Tensor = self.norm(x + self.dropout(branch(x, *others)))
        return result


class EncoderBlock(nn.Module):
    """A token mixer that sees the whole source, and a channel MLP."""

    def __init__(
        self, mixer: Mixer, *, mlp_width: int, activation: Activation, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        width = mixer.width
        mlp = ChannelMLP(width, mlp_width, activation=activation)
        self.mix = Residual(mixer, width, norm=norm, dropout=dropout)
        self.mlp = Residual(mlp, width, norm=norm, dropout=dropout)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, length, width) -> the same."""
        return self.mlp(self.mix(x) if lengths is None else self.mix(x, lengths))


class DecoderBlock(nn.Module):
    """A causal token mixer, a look at the encoder's output, and a channel MLP."""

    def __init__(
        self,
        mixer: Mixer,
        cross: CrossMixer,
        *,
        mlp_width: int,
        activation: Activation,
        norm: Norm,
        dropout: float,
    ) -> None:
        super().__init__()
        width = mixer.width
        mlp = ChannelMLP(width, mlp_width, activation=activation)
        self.mix = Residual(mixer, width, norm=norm, dropout=dropout)
        self.cross = Residual(cross, width, norm=norm, dropout=dropout)
        self.mlp = Residual(mlp, width, norm=norm, dropout=dropout)

    def forward(self, x: Tensor, memory: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, target length, width) -> the same. The target's padding stands last, where a causal
        mixer's real tokens do not look; so only the memory's lengths are needed.
        """
        x = self.mix(x)
        x = self.cross(x, memory) if lengths is None else self.cross(x, memory, lengths)
        return self.mlp(x)


class EncoderDecoder(nn.Module):
    """Source and target tokens -> logits of the next target token (arXiv 1706.03762, figure 1).

    One mixer per block: ``encoder_mixers`` see the whole source (none may be causal), ``decoder_mixers``
    must be causal; ``cross_mixers`` are the decoder blocks' ways to read the encoder's output. Embeddings are
    shared by source, target and output, and scaled. ``norm="post"`` is the paper's (section 3.1: the norm
    after each residual sum, none at a stack's end); "pre" puts it before each branch and one at each end.
    ``positions``: add sinusoids to both embeddings; without them the mixers have to know about order.
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
        self.mlp_width = mlp_width
        self.activation = activation
        self.embed = SharedEmbedding(vocabulary, width)
        self.position = SinusoidalPositions() if positions else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.ModuleList(
            EncoderBlock(mixer, mlp_width=mlp_width, activation=activation, norm=norm, dropout=dropout)
            for mixer in encoder_mixers
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(mixer, cross, mlp_width=mlp_width, activation=activation, norm=norm, dropout=dropout)
            for mixer, cross in zip(decoder_mixers, cross_mixers, strict=True)
        )
        self.encoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The blocks' token mixers as they stand now, the encoder's first."""
        return (*self.encoder_mixers, *self.decoder_mixers)

    @property
    def encoder_mixers(self) -> tuple[Mixer, ...]:
        """The encoder blocks' token mixers."""
        blocks = cast("Sequence[EncoderBlock]", self.encoder)
        return tuple(cast(Mixer, block.mix.branch) for block in blocks)

    @property
    def decoder_mixers(self) -> tuple[Mixer, ...]:
        """The decoder blocks' token mixers."""
        return tuple(cast(Mixer, block.mix.branch) for block in self.each_decoder_block())

    @property
    def cross_mixers(self) -> tuple[CrossMixer, ...]:
        """The decoder blocks' ways to read the memory."""
        return tuple(cast(CrossMixer, block.cross.branch) for block in self.each_decoder_block())

    def each_decoder_block(self) -> Iterator["DecoderBlock"]:
        """The decoder's blocks, one after the other."""
        return iter(cast("Sequence[DecoderBlock]", self.decoder))

    @property
    def length(self) -> int:
        """The nominal length that every mixer takes, of source and target."""
        lengths = [*(mixer.length for mixer in self.mixers), *(cross.length for cross in self.cross_mixers)]
        return min(lengths)

    def forward(self, source: Tensor, target: Tensor, lengths: Integers | None = None) -> Tensor:
        """Logits (batch, target length, vocabulary) of what follows each target token.

        ``source`` (batch, source length) and ``target`` (batch, target length) int64, real tokens first;
        ``lengths`` (batch,), whole numbers: the real tokens of each source; None: no source is padded.
        """
        lengths = check_lengths(lengths, source)
        return self.decode(self.encode(source, lengths), target, lengths)

    def encode(self, source: Tensor, lengths: Integers | None = None) -> Tensor:
        """The memory, (batch, source length, width)."""
        lengths = check_lengths(lengths, source)
        if lengths is not None:
            check_all_take_lengths(self.encoder_mixers)
        x = self._embedded(source)
        for block in self.encoder:
            x = block(x, lengths)
        return self.encoder_norm(x)

    def decode(self, memory: Tensor, target: Tensor, lengths: Integers | None = None) -> Tensor:
        """Logits of what follows each target token, given the memory and its lengths."""
        lengths = check_lengths(lengths, memory)
        x = self._embedded(target)
        for block in self.decoder:
            x = block(x, memory, lengths)
        return self.embed.logits(self.decoder_norm(x))

    def _embedded(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.position(self.embed(tokens)))

    def flops(self, length: int) -> float:
        """Forward flops for a source and a target of ``length`` tokens each, 2 per multiply-add."""
        mlps = 4.0 * length * self.width * self.mlp_width * len(self.mixers)
        logits = 2.0 * length * self.embed.weight.numel()
        mixers = sum(mixer.flops(length) for mixer in self.mixers)
        return mlps + logits + mixers + sum(cross.flops(length) for cross in self.cross_mixers)


def _check_parts(encoder: Sequence[Mixer], decoder: Sequence[Mixer], cross: Sequence[CrossMixer]) -> None:
    if not encoder or not decoder or len(cross) != len(decoder):
        raise InputError(
            f"an encoder-decoder needs a mixer per block and a cross mixer per decoder block; it was given "
            f"{len(encoder)} encoder, {len(decoder)} decoder and {len(cross)} cross mixers."
        )
    widths = {mixer.width for mixer in (*encoder, *decoder)} | {mixer.width for mixer in cross}
    if len(widths) != 1:
        raise InputError(f"all mixers must have one width; they have {sorted(widths)}.")
    blind = sorted({type(m).__name__ for m in encoder if m.causal})
    if blind:
        raise InputError(f"an encoder sees the whole source; build {', '.join(blind)} with causal=False.")
    leaking = sorted({type(m).__name__ for m in decoder if not m.causal})
    if leaking:
        raise InputError(f"a decoder needs causal mixers; build {', '.join(leaking)} with causal=True.")
