"""A causal language model: embed, mix, predict the next token at every position."""

from collections.abc import Sequence

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.models.embedding import PositionEmbedding, TokenEmbedding
from globalconv.models.stack import Stack
from globalconv.ops import Documents, Integers, check_lengths, clear_padding


class LanguageModel(nn.Module):
    """(batch, length) tokens -> (batch, length, vocabulary) logits of the next token.

    Every mixer must be causal, or InputError is raised. Absolute positions are off by default: a causal convolution
    knows distances by itself, and attention uses rotary positions.
    """

    def __init__(
        self, vocabulary: int, mixers: Sequence[Mixer], *, mlp_width: int, positions: bool = False
    ) -> None:
        super().__init__()
        leaking = sorted({type(m).__name__ for m in mixers if not m.causal})
        if leaking:
            raise InputError(
                f"a language model needs causal mixers. Build {', '.join(leaking)} with causal=True."
            )
        self.stack = Stack(mixers, mlp_width=mlp_width)
        width = self.stack.width
        self.embed = TokenEmbedding(vocabulary, width)
        self.position = (
            PositionEmbedding(min(m.length for m in mixers), width) if positions else nn.Identity()
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(
        self, tokens: Tensor, lengths: Integers | None = None, *, offsets: Integers | None = None
    ) -> Tensor:
        """Logits of the token after each token, (batch, length, vocabulary).

        ``lengths`` (batch,), integers: the number of real tokens in each row, which come first. Padding may be any
        number, even outside the vocabulary; it changes nothing, and its logits are 0.

        ``offsets`` (documents + 1,): ``tokens`` (total,) are concatenated documents, and ``offsets`` are their starts,
        from 0 to the total. Returns (total, vocabulary). Documents do not see each other, and positions restart
        with each.

        Raises InputError if lengths or offsets do not fit, or if both are given.
        """
        if offsets is not None:
            return self._packed(tokens, lengths, offsets)
        lengths = check_lengths(lengths, tokens)
        x = self.position(self.embed(clear_padding(tokens, lengths)))
        return clear_padding(self.head(self.stack(x, lengths)), lengths)

    def _packed(self, tokens: Tensor, lengths: Integers | None, offsets: Integers) -> Tensor:
        if lengths is not None or tokens.ndim != 1:
            raise InputError(
                f"offsets need packed tokens (total,) and no lengths, but tokens have shape "
                f"{tuple(tokens.shape)}. Give offsets and packed tokens, or lengths."
            )
        documents = Documents(offsets, tokens)
        x = self.embed(tokens)
        if not isinstance(self.position, nn.Identity):
            x = documents.map(lambda rows, _: self.position(rows), x)
        return self.head(self.stack(x, documents=documents))

    def flops(self, length: int) -> float:
        """Forward flops for one sequence, 2 per multiply-add; an embedding is a look-up and costs none."""
        return self.stack.flops(length) + 2.0 * length * self.head.weight.numel()
