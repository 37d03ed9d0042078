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

    Every mixer must be causal (InputError). Absolute positions are off by default: a causal
    convolution knows distances by itself and attention is given rotary positions.
    """

    def __init__(
        self, vocabulary: int, mixers: Sequence[Mixer], *, mlp_width: int, positions: bool = False
    ) -> None:
        super().__init__()
        leaking = sorted({type(m).__name__ for m in mixers if not m.causal})
        if leaking:
            raise InputError(
                f"a language model needs causal mixers; build {', '.join(leaking)} with causal=True."
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
        """Logits of what follows each token, (batch, length, vocabulary).

        ``lengths`` (batch,), whole numbers: how many tokens of each row are real, the first ones. Padding may be any
        number, also none of the vocabulary; it changes nothing, and the logits are 0 there.

        ``offsets`` (documents + 1,): ``tokens`` (total,) are documents end to end, and these the places where
        they begin, 0 first and the total last. Returns (total, vocabulary). None sees another, and positions
        begin anew with each.

        Raises InputError for lengths or offsets that do not fit, or both.
        """
        if offsets is not None:
            return self._packed(tokens, lengths, offsets)
        lengths = check_lengths(lengths, tokens)
        x = self.position(self.embed(clear_padding(tokens, lengths)))
        return clear_padding(self.head(self.stack(x, lengths)), lengths)

    def _packed(self, tokens: Tensor, lengths: Integers | None, offsets: Integers) -> Tensor:
        if lengths is not None or tokens.ndim != 1:
            raise InputError(
                f"offsets are for packed tokens, (total,), which have no lengths, and tokens are "
                f"{tuple(tokens.shape)}: give offsets and tokens.flatten(), or lengths."
            )
        documents = Documents(offsets, tokens)
        x = self.embed(tokens)
        if not isinstance(self.position, nn.Identity):
            x = documents.map(lambda rows, _: self.position(rows), x)
        return self.head(self.stack(x, documents=documents))

    def flops(self, length: int) -> float:
        """Forward flops for one sequence, 2 per multiply-add; an embedding is a look-up and costs none."""
        return self.stack.flops(length) + 2.0 * length * self.head.weight.numel()
