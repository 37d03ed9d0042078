"""Multi-head self-attention, the rival."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, unknown_name
from globalconv.mixers.base import Mixer
from globalconv.mixers.positions import Rotary, rotary_turns, rotate, sinusoids
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens

__all__ = ["Attention", "AttentionPositions", "rotary_turns", "rotate", "sinusoids"]

AttentionPositions = Literal["rotary", "learned", "sinusoidal", "none"]
POSITION_STD = 0.5
"""Of learned positions at the start."""


class Attention(Mixer):
    """Multi-head scaled dot-product self-attention (arXiv 1706.03762, section 3.2).

    ``positions`` says how a head learns where its tokens are: "rotary" turns queries and keys
    (RoFormer, arXiv 2104.09864, equation 34); "learned" and "sinusoidal" (1706.03762, section 3.5) add
    a vector per position to what queries and keys are made from, not to the values; "none" adds
    nothing: without ``causal`` the layer then commutes with every permutation of the tokens.

    Any length works, except that learned positions end at the nominal one (InputError beyond).
    """

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
            self.position = nn.Parameter(torch.empty(length, width))
        elif positions == "rotary":
            self.rotary = Rotary(length, self.head_width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw learned positions anew; the projections draw their own, and rotary positions compute theirs."""
        if self.positions == "learned":
            nn.init.normal_(self.position, std=POSITION_STD)

    @property
    def turns(self) -> Tensor:
        """Of rotary positions: cosines and sines, (2, length, head width / 2), float32 or more."""
        return self.rotary.turns

    @property
    def projects_linearly(self) -> bool:
        """Whether queries and values may be projected apart: not by what was put in the projection's place."""
        return self.positions in ("rotary", "none") or type(self.project) is nn.Linear

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Let every token look at the others. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        x = clear_padding(x, lengths)
        batch, length, width = x.shape
        query, key, value = self._project(x)
        heads = (batch, length, self.num_heads, self.head_width)
        query, key, value = (t.reshape(heads).transpose(1, 2) for t in (query, key, value))
        if self.positions == "rotary":
            query, key = self.rotary(query), self.rotary(key)
        seen = None
        if lengths is not None and not self.causal:  # the past of a real token is real: its mask is enough
            seen = real_tokens(lengths, length)[:, None, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=self.causal)
        return clear_padding(self.output(mixed.transpose(1, 2).reshape(batch, length, width)), lengths)

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.positions in ("rotary", "none"):
            return self.project(x).chunk(3, dim=-1)
        if not self.projects_linearly:
            query, key, _ = self.project(self._placed(x)).chunk(3, dim=-1)
            return query, key, self.project(x).chunk(3, dim=-1)[2]
        weight_qk, weight_v = self.project.weight.split([2 * self.width, self.width])
        bias_qk, bias_v = self.project.bias.split([2 * self.width, self.width])
        query, key = F.linear(self._placed(x), weight_qk, bias_qk).chunk(2, dim=-1)
        return query, key, F.linear(x, weight_v, bias_v)

    def _placed(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        if self.positions == "sinusoidal":
            return (x + sinusoids(length, self.width, like=x)).to(x.dtype)
        if length > self.length:
            raise InputError(
                f"learned positions end at length {self.length}, and the input has {length}; "
                "build the layer longer or use rotary or sinusoidal positions."
            )
        return x + self.position[:length]

    def flops(self, length: int) -> float:
        """Four projections; scores and mixing, for half of the pairs where the mask hides the rest."""
        pairs = length * (length + 1) / 2 if self.causal else length**2
        return 8.0 * length * self.width**2 + 4.0 * pairs * self.width

    def extra_repr(self) -> str:
        """Its size, heads and positions."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}, positions='{self.positions}'"
