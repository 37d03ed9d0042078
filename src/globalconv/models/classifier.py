"""A sequence classifier: embed, mix, pool, read out."""

from collections.abc import Sequence

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.models.embedding import PositionEmbedding, TokenEmbedding
from globalconv.models.stack import Stack
from globalconv.ops import Integers, check_lengths, clear_padding


class Classifier(nn.Module):
    """(batch, length, channels) values, or (batch, length) tokens -> (batch, num_classes) logits.

    Pre-norm residual blocks, mean over the tokens, a linear read-out. Learned positions are added by
    default, for every mixer alike: without them, a circular convolution under mean
    pooling cannot represent positions (all rotations of an input give the same output).
    """

    def __init__(
        self,
        num_classes: int,
        mixers: Sequence[Mixer],
        *,
        mlp_width: int,
        channels: int | None = None,
        vocabulary: int | None = None,
        positions: bool = True,
    ) -> None:
        super().__init__()
        if (channels is None) == (vocabulary is None):
            raise InputError(
                "a classifier needs either channels (for values) or vocabulary (for tokens). Give one of them."
            )
        self.stack = Stack(mixers, mlp_width=mlp_width)
        width = self.stack.width
        self.embed: nn.Module
        if vocabulary is None:
            assert channels is not None
            self.embed = nn.Linear(channels, width)
        else:
            self.embed = TokenEmbedding(vocabulary, width)
        self.position = (
            PositionEmbedding(min(m.length for m in mixers), width) if positions else nn.Identity()
        )
        self.head = nn.Linear(width, num_classes)
        self.channels = channels

    def forward(self, inputs: Tensor, lengths: Integers | None = None) -> Tensor:
        """Logits, (batch, num_classes).

        ``lengths`` (batch,), integers: the number of real inputs in each row, which come first. Padding has no
        effect, and the mean is over the real inputs. Raises InputError if the lengths do not fit.
        """
        lengths = check_lengths(lengths, inputs)
        mixed = self.stack(self.position(self.embed(clear_padding(inputs, lengths))), lengths)
        pooled = mixed.mean(dim=1) if lengths is None else mixed.sum(dim=1) / lengths[:, None]
        return self.head(pooled)

    def flops(self, length: int) -> float:
        """Forward flops for one sequence, 2 per multiply-add."""
        embed = 2.0 * length * (self.channels or 0) * self.stack.width
        return embed + self.stack.flops(length) + 2.0 * self.head.weight.numel()
