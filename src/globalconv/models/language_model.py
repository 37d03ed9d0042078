"""A causal language model: embed, mix, predict the next token at every position."""

from collections.abc import Sequence

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.models.block import Stack
from globalconv.models.embedding import PositionEmbedding, TokenEmbedding


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

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of what follows each token, (batch, length, vocabulary)."""
        return self.head(self.stack(self.position(self.embed(tokens))))

    def flops(self, length: int) -> float:
        """Forward flops for one sequence, 2 per multiply-add; an embedding is a look-up and costs none."""
        return self.stack.flops(length) + 2.0 * length * self.head.weight.numel()
