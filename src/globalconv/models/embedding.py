"""How tokens or values become vectors of the model's width, with or without their position."""

import torch
from torch import Tensor, nn

from globalconv.errors import InputError

POSITION_STD = 0.5
"""Learned positions start this large: at .02 attention cannot tell its tokens apart for hundreds of
steps. The same for every arm."""


class TokenEmbedding(nn.Embedding):
    """Token numbers (batch, length) -> (batch, length, width); standard normal at the start.

    A std of .02, usual with tied embeddings, kept attention at guessing on associative recall.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__(vocabulary, width)


class PositionEmbedding(nn.Module):
    """Adds a learned vector per position to (batch, length, width); lengths to the nominal one."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(POSITION_STD * torch.randn(length, width))

    def forward(self, x: Tensor) -> Tensor:
        """x plus its positions."""
        length, longest = x.shape[1], self.position.shape[0]
        if length > longest:
            raise InputError(f"positions were learned up to length {longest}, and the input has {length}.")
        return x + self.position[:length]
