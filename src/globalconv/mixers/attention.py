"""Multi-head self-attention, the rival."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, unknown_name
from globalconv.mixers.base import Mixer
from globalconv.ops import check_lengths, clear_padding, real_tokens

AttentionPositions = Literal["rotary", "learned", "sinusoidal", "none"]


class Attention(Mixer):
    """Multi-head scaled dot-product self-attention (arXiv 1706.03762, section 3.2).

    ``positions`` says how a head learns where its tokens are: "rotary" turns queries and keys
    (RoFormer, arXiv 2104.09864, equation 34); "learned" and "sinusoidal" (1706.03762, section 3.5) add
    a vector per position to what queries and keys are made from, not to the values; "none" adds
    nothing: without ``causal`` the layer then commutes with every permutation of the tokens.

    Any length works, except that learned positions end at the nominal one (InputError beyond).
    """

    turns: Tensor

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        num_heads: int = 4,
        positions: AttentionPositions = "rotary",
    ) -> None:
        super().__init__(width, length, causal=causal)
        if positions not in get_args(AttentionPositions):
            raise unknown_name("attention positions", positions, get_args(AttentionPositions))
        if num_heads < 1 or width % num_heads:
            fits = [h for h in range(1, width + 1) if width % h == 0]
            raise InputError(f"width {width} is not divisible by {num_heads} heads; heads that fit: {fits}.")
        self.num_heads = num_heads
        self.head_width = width // num_heads
        if positions == "rotary" and self.head_width % 2:
            raise InputError(
                f"rotary positions turn pairs of channels, so the head width must be even; it is "
                f"{self.head_width} ({width} / {num_heads} heads). Change the width or the heads."
            )
        self.positions = positions
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        if positions == "learned":
            self.position = nn.Parameter(0.5 * torch.randn(length, width))
        elif positions == "rotary":
            self.register_buffer("turns", rotary_turns(length, self.head_width), persistent=False)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Let every token look at the others. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        x = clear_padding(x, lengths)
        batch, length, width = x.shape
        query, key, value = self._project(x)
        heads = (batch, length, self.num_heads, self.head_width)
        query, key, value = (t.reshape(heads).transpose(1, 2) for t in (query, key, value))
        if self.positions == "rotary":
            turns = self.turns[:, :length]
            if length > self.length:
                turns = rotary_turns(length, self.head_width).to(x.device)
            query, key = rotate(query, turns), rotate(key, turns)
        seen = None
        if lengths is not None and not self.causal:  # the past of a real token is real: its mask is enough
            seen = real_tokens(lengths, length)[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=self.causal)
        return clear_padding(self.output(mixed.transpose(1, 2).reshape(batch, length, width)), lengths)

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.positions in ("rotary", "none"):
            return self.project(x).chunk(3, dim=-1)
        weight_qk, weight_v = self.project.weight.split([2 * self.width, self.width])
        bias_qk, bias_v = self.project.bias.split([2 * self.width, self.width])
        query, key = F.linear(x + self._position(x), weight_qk, bias_qk).chunk(2, dim=-1)
        return query, key, F.linear(x, weight_v, bias_v)

    def _position(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        if self.positions == "sinusoidal":
            return sinusoids(length, self.width).to(x)
        if length > self.length:
            raise InputError(
                f"learned positions end at length {self.length}, and the input has {length}; "
                "build the layer longer or use rotary or sinusoidal positions."
            )
        return self.position[:length]

    def flops(self, length: int) -> float:
        """Four projections; scores and mixing, for half of the pairs where the mask hides the rest."""
        pairs = length * (length + 1) / 2 if self.causal else length**2
        return 8.0 * length * self.width**2 + 4.0 * pairs * self.width


def rotary_turns(length: int, head_width: int) -> Tensor:
    """Cosines and sines of the angles t 10000^(-2i / head_width), (2, length, head_width / 2)."""
    rate = torch.exp(-math.log(10000.0) * torch.arange(0, head_width, 2) / head_width)
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the channel pairs (i, i + head_width / 2) of x, (..., length, head_width), by their angle."""
    cos, sin = turns.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def sinusoids(length: int, width: int) -> Tensor:
    """The fixed position vectors of arXiv 1706.03762, section 3.5: (length, width)."""
    rate = torch.exp(-math.log(10000.0) * torch.arange(0, width, 2) / width)
    angle = torch.arange(length)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width]
