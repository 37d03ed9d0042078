"""Embeddings of tokens, values and positions in the model's width."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers.positions import sinusoids

POSITION_STD = 0.5
"""Initial standard deviation of learned positions: at .02 attention cannot distinguish its tokens for hundreds of
steps. It is the same for every arm."""


class TokenEmbedding(nn.Embedding):
    """Token numbers (batch, length) -> (batch, length, width); initially standard normal.

    With a standard deviation of .02, usual with tied embeddings, attention did not get beyond guessing on associative
    recall.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__(vocabulary, width)


class PositionEmbedding(nn.Module):
    """Adds a learned vector per position to (batch, length, width), up to the nominal length."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.empty(length, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Redraw the vectors."""
        nn.init.normal_(self.position, std=POSITION_STD)

    def forward(self, x: Tensor) -> Tensor:
        """x plus its positions."""
        return x + self.table(x.shape[1], x.shape[2], like=x)

    def table(self, length: int, width: int, *, like: Tensor) -> Tensor:
        """The vectors added to the first ``length`` tokens, (length, width). Raises InputError beyond the nominal
        length."""
        longest = len(self.position)
        if length > longest:
            raise InputError(
                f"positions were learned up to length {longest}, but there are {length} tokens. Give fewer, or build "
                "the model with a larger length."
            )
        return self.position[:length]

    def extra_repr(self) -> str:
        """Its size."""
        length, width = self.position.shape
        return f"{length}, {width}"


class SinusoidalPositions(nn.Module):
    """Adds the fixed sinusoids of arXiv 1706.03762, section 3.5, to (batch, length, width) of any length."""

    def forward(self, x: Tensor) -> Tensor:
        """x plus its positions, rounded once."""
        return (x + self.table(x.shape[1], x.shape[2], like=x)).to(x.dtype)

    def table(self, length: int, width: int, *, like: Tensor) -> Tensor:
        """The vectors added to the first ``length`` tokens, (length, width), float32 or wider, on the device of
        ``like``."""
        return sinusoids(length, width, like=like)


class SharedEmbedding(nn.Embedding):
    """One table for input embeddings and output logits (arXiv 1706.03762, section 3.4).

    Input embeddings are scaled by sqrt(width): the table starts with standard deviation width^-1/2, so that embeddings
    and logits both start with variance 1.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__(vocabulary, width)  # this draws a table, too
        self.reset_parameters()  # a second draw, so that models of a seed stay the same

    def reset_parameters(self) -> None:
        """Redraw the table."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token numbers (batch, length) -> (batch, length, width)."""
        return super().forward(tokens) * self.embedding_dim**0.5

    def logits(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> (batch, length, vocabulary)."""
        return F.linear(x, self.weight)
