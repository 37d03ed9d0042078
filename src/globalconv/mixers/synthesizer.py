"""The Random Synthesizer: attention whose weights are learned, and look at nothing."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import unknown_name
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.heads import check_heads
from globalconv.mixers.token_matrix import leading
from globalconv.mixers.unit_linear import UnitLinear
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.states import MixerState
from globalconv.states.cache import TokenCache
from globalconv.states.state import dtype_of

Rows = Literal["softmax", "linear"]


class Synthesizer(Mixer):
    """y = W (softmax(R) V x) for each head: a learned static matrix R, (length, length), in the place of q k^T.

    The Random Synthesizer of arXiv 2005.00743 (section 3.2, equation 4), with heads and projections as in attention. It
    is the control for all that mixes by place: it has neither content nor structure. ``rows="linear"``: R
    itself, without the softmax.

    R starts normal, with a standard deviation of sqrt(log length). So a row of the softmax has its weight on some
    tokens; the mean of all would be next to nothing. Without the softmax it is 1 / sqrt(tokens seen).

    Causal: R is masked above its diagonal, before the softmax; what is masked is still counted among the parameters,
    and never learns. Shorter inputs use the leading part; a longer one raises InputError.
    """

    properties = Properties(whole_sequence=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        num_heads: int = 4,
        rows: Rows = "softmax",
    ) -> None:
        super().__init__(width, length, causal=causal)
        if rows not in get_args(Rows):
            raise unknown_name("kind of rows", rows, get_args(Rows))
        check_heads(width, num_heads, rotary=False)
        self.num_heads = num_heads
        self.rows = rows
        self.value = UnitLinear(width, width)
        self.scores = nn.Parameter(torch.empty(num_heads, length, length))
        self.output = UnitLinear(width, width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw R; the projections draw their own."""
        with torch.no_grad():
            self.scores.normal_()
            if self.rows == "softmax":
                self.scores.mul_(math.sqrt(math.log(self.length)))
            else:
                place = torch.arange(1, self.length + 1, dtype=torch.float32, device=self.scores.device)
                seen = place[:, None] if self.causal else torch.full_like(place, self.length)
                self.scores.mul_(seen.rsqrt())

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Mix the tokens of each head by its matrix. x: (batch, length, width)."""
        self.check_input(x)
        scores = leading(self.scores, x.shape[1], mixer="synthesizer")
        lengths = check_lengths(lengths, x)
        values = clear_padding(self.value(clear_padding(x, lengths)), lengths)
        real = None if lengths is None or self.causal else real_tokens(lengths, x.shape[1])
        weights = self.weights(scores, real)
        mixed = torch.einsum(
            "hts,bshd->bthd" if weights.ndim == 3 else "bhts,bshd->bthd",
            weights.to(values.dtype),
            values.unflatten(-1, (self.num_heads, -1)),
        )
        return clear_padding(self.output(mixed.flatten(-2)), lengths)

    def weights(self, scores: Tensor, real: Tensor | None) -> Tensor:
        """How much of every token each takes: (heads, n, n), or with ``real`` (batch, n) (batch, heads, n, n)."""
        if self.rows == "linear":
            return scores.tril() if self.causal else scores
        if self.causal:
            ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(ahead, -math.inf)
        if real is not None:
            scores = scores.masked_fill(~real[:, None, None], -math.inf)
        return F.softmax(scores, dim=-1)

    def begin(self, *, batch: int, longest: int) -> "SynthesizerState":
        """See ``states.begin``."""
        return SynthesizerState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Two projections and the mixing; what is masked is multiplied as well."""
        return 4.0 * length * self.width**2 + 2.0 * length**2 * self.width

    def extra_repr(self) -> str:
        """Its size, heads and rows."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}, rows='{self.rows}'"


class SynthesizerState(MixerState):
    """The values of all tokens so far."""

    def __init__(self, mixer: Synthesizer, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.scores = leading(mixer.scores, longest, mixer="synthesizer").detach()
        self.cache = TokenCache(longest)

    def _prefill(self, x: Tensor) -> Tensor:
        self.cache.put(self.mixer.value(x), start=0)
        return self.mixer(x)

    def _step(self, x: Tensor) -> Tensor:
        seen = self.cache.put(self.mixer.value(x)[:, None], start=self.count)
        weights = self.scores[:, self.count, : self.count + 1]
        if self.mixer.rows == "softmax":
            weights = F.softmax(weights, dim=-1)
        heads = seen.unflatten(-1, (self.mixer.num_heads, -1))
        return self.mixer.output(torch.einsum("hs,bshd->bhd", weights.to(seen.dtype), heads).flatten(-2))

    def _keep(self, rows: Tensor) -> None:
        self.cache = self.cache.select(rows, count=self.count)

    def numbers(self) -> int:
        return self.batch * self.longest * self.width

    def flops(self) -> float:
        """Two projections, and a row of every matrix over the tokens so far."""
        return 4.0 * self.width**2 + (self.longest + 1.0) * self.width
