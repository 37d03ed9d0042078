"""Models whose answers are known in closed form."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from globalconv.mixers import GlobalConv

LENGTH, WIDTH = 12, 3


class Pointwise(nn.Module):
    """A function of every number by itself."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def square() -> nn.Module:
    return Pointwise(torch.square)


def conv(*, causal: bool = False, length: int = LENGTH, backend: str = "reference") -> GlobalConv:
    """White-noise taps: every lag of every channel counts."""
    return GlobalConv(WIDTH, length, causal=causal, init="flat", backend=backend)


def quadratic_blocks(number: int) -> nn.Sequential:
    return nn.Sequential(*(layer for _ in range(number) for layer in (conv(), square())))


class Leaky(nn.Module):
    """A causal convolution, and a little of one later token in one earlier output."""

    def __init__(self, leak: float, *, late: int, early: int) -> None:
        super().__init__()
        self.conv = conv(causal=True)
        self.leak, self.late, self.early = leak, late, early

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        there = torch.zeros(x.shape[1], 1, dtype=x.dtype)
        there[self.early] = self.leak
        return y + there * x[:, self.late : self.late + 1]


class Product(nn.Module):
    """The identity, and a little of the product of the first ``number`` tokens, in every output."""

    def __init__(self, number: int, size: float) -> None:
        super().__init__()
        self.number, self.size = number, size

    def forward(self, x: Tensor) -> Tensor:
        return x + self.size * x[:, : self.number].prod(dim=1, keepdim=True)


class TokenModel(nn.Module):
    """Tokens to logits: an embedding, a mixer, a head."""

    def __init__(self, mixer: nn.Module, *, vocabulary: int = 11, width: int = WIDTH) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.mixer = mixer
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.mixer(self.embed(tokens)))


def values(seed: int, *, batch: int = 3, length: int = LENGTH, width: int = WIDTH) -> Tensor:
    """Inputs; and the seed for the weights that are drawn next."""
    torch.manual_seed(seed)
    return torch.randn(batch, length, width)
