"""Linear attention, plain and gated: lookup by content in a memory of fixed size."""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, unknown_name
from globalconv.filters.precision import wide, without_autocast
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.head_gate import HeadGate
from globalconv.mixers.heads import check_heads, split_heads
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.ops.interface import compute_dtype
from globalconv.ops.linear_attention import (
    linear_attention,
    linear_attention_flops,
    linear_attention_step,
)
from globalconv.states import MixerState
from globalconv.states.state import dtype_of

Decay = Literal["none", "scalar", "vector"]
DECAY_RANK, DECAY_ROOT = 16, 16
"""The hidden width of a decay for each channel, and the root that is taken of decays (2312.06635, section 4.4)."""


class LinearAttention(Mixer):
    """y_t = S_t^T q_t with S_t = diag(a_t) S_{t-1} + k_t v_t^T in each head; ``decay`` says what a is.

    "none" (a = 1): linear attention (arXiv 2006.16236, equations 5, 7 and 16 to 20). q and k go through elu + 1, and y
    is divided by q_t . sum of the k_s, so that it is a mean of values. Projections are those of attention. Without
    ``causal`` every token sees the same sum over all of them; the layer then commutes with permutations of tokens.

    "vector": gated linear attention (arXiv 2312.06635, equation 3 and section 4.4; flash-linear-attention,
    ``fla/layers/gla.py``). a is the 16th root of a sigmoid, for each channel of the keys, of two projections through
    16 numbers; q is divided by the root of the head width; there is no feature map and no normaliser. Heads have keys
    as wide as values (half as wide in the paper), and end in a norm and a gate (``HeadGate``). "scalar": the same with
    one a for each head. Decays look back: causal=False raises InputError.

    ``short_taps``: of a short convolution in front of q, k and v, which looks back; 0: none, as in the papers.
    Any length works, in time linear in it (``ops.linear_attention``), and a token is decoded at the cost of one.
    """

    properties = Properties(whole_sequence=True, content_dependent=True, looks_up=True, linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        num_heads: int = 4,
        decay: Decay = "none",
        short_taps: int = 0,
    ) -> None:
        super().__init__(width, length, causal=causal)
        if decay not in get_args(Decay):
            raise unknown_name("decay", decay, get_args(Decay))
        if decay != "none" and not causal:
            raise InputError(
                f"linear_attention with decay '{decay}' looks back only: build it with causal=True or decay 'none'."
            )
        self.num_heads = num_heads
        self.head_width = check_heads(width, num_heads, rotary=False)
        self.decay = decay
        self.short_filter = short_filter(
            3 * width, short_taps, length, mode="causal" if causal else "bidirectional"
        )
        gated = decay != "none"
        self.project = nn.Linear(width, 3 * width, bias=not gated)
        self.output = nn.Linear(width, width, bias=not gated)
        if gated:
            self.gate_project = nn.Linear(width, width)
            self.gate = HeadGate(self.head_width)
            self.rate: nn.Module = nn.Linear(width, num_heads)
        if decay == "vector":
            self.rate = nn.Sequential(nn.Linear(width, DECAY_RANK, bias=False), nn.Linear(DECAY_RANK, width))

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Write tokens into the memory and read it. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        x = clear_padding(x, lengths)
        mixed = self.short_filter.convolve(self.project(x), lengths=lengths)
        real = None if lengths is None else real_tokens(lengths, x.shape[1])[:, None, :, None]
        y, _ = self.read_all(x, mixed, real)
        return clear_padding(y, lengths)

    def read_all(self, x: Tensor, mixed: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (batch, n, width), and the memory that is left, (batch, heads, keys, values).

        ``mixed`` (batch, n, 3 width): queries, keys and values of tokens ``x``. ``real`` (batch, 1, n, 1): which are.
        """
        gate, rate = self._gate_and_rate(x)
        with without_autocast(x.device.type):
            query, key, value, log_decay = self._operands(mixed, rate)
            if self.causal:
                y, memory = linear_attention(query, key, value, log_decay)
            else:
                memory = (key if real is None else torch.where(real, key, 0)).mT @ value
                y = query @ memory
            y = self._end(y, gate, dtype=mixed.dtype)
        return self.output(y), memory

    def read_next(self, memory: Tensor, x: Tensor, mixed: Tensor) -> tuple[Tensor, Tensor]:
        """The same of one token more, with n = 1, behind those that left ``memory``."""
        gate, rate = self._gate_and_rate(x)
        with without_autocast(x.device.type):
            operands = (None if part is None else part.squeeze(2) for part in self._operands(mixed, rate))
            y, memory = linear_attention_step(memory, *operands)  # type: ignore[arg-type]
            y = self._end(y.unsqueeze(2), gate, dtype=mixed.dtype)
        return self.output(y), memory

    def _gate_and_rate(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return (None, None) if self.decay == "none" else (self.gate_project(x), self.rate(x))

    def _operands(self, mixed: Tensor, rate: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys, values (batch, heads, n, channels) and log decays, in float32 or more.

        The normaliser is one more channel of the values, which is 1.
        """
        parts = wide(mixed).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.num_heads) for part in parts)
        if rate is None:
            return F.elu(query) + 1, F.elu(key) + 1, F.pad(value, (0, 1), value=1.0), None
        log_decay = F.logsigmoid(wide(rate)) / DECAY_ROOT
        return query / math.sqrt(self.head_width), key, value, split_heads(log_decay, self.num_heads)

    def _end(self, y: Tensor, gate: Tensor | None, *, dtype: torch.dtype) -> Tensor:
        if gate is not None:
            ended: Tensor = self.gate(y, gate)
            return ended
        # A sum of positive numbers, unless all of them are too small to be one.
        mean = y[..., :-1] / y[..., -1:].clamp_min(torch.finfo(y.dtype).tiny)
        return mean.transpose(1, 2).flatten(2).to(dtype)

    def begin(self, *, batch: int, longest: int) -> "LinearAttentionState":
        """See ``states.begin``."""
        return LinearAttentionState(self, batch=batch, longest=longest)

    @property
    def values_width(self) -> int:
        """Of a head's memory: the values, and the normaliser where there is one."""
        return self.head_width + (self.decay == "none")

    def projection_flops(self) -> float:
        """For one token: attention's projections; with decays those of the gate and of the decays as well."""
        decays = {"none": 0, "scalar": self.num_heads, "vector": 2 * DECAY_RANK}[self.decay]
        return 2.0 * self.width * ((4 if self.decay == "none" else 5) * self.width + decays)

    def flops(self, length: int) -> float:
        """The projections, the short convolution, and the products of the memory."""
        keys, values = self.head_width, self.values_width
        by_channel = self.decay == "vector"
        mixing = 4.0 * length * keys * values
        if self.causal:
            mixing = linear_attention_flops(length, keys, values, by_channel=by_channel)
        short = self.short_filter.flops(length, 3 * self.width)
        return length * self.projection_flops() + short + self.num_heads * mixing

    def extra_repr(self) -> str:
        """Its size, heads and decay."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}, decay='{self.decay}'"


class LinearAttentionState(MixerState):
    """The memory of every head, (batch, heads, keys, values), and the short convolution's sums."""

    def __init__(self, mixer: LinearAttention, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        sizes: dict[str, Any] = {"batch": batch, "longest": longest}
        self.short = mixer.short_filter.begin(width=3 * mixer.width, skip=None, backend=None, **sizes)
        weight = mixer.output.weight
        self.memory = weight.new_zeros(
            batch, mixer.num_heads, mixer.head_width, mixer.values_width, dtype=compute_dtype(weight.dtype)
        )

    def _prefill(self, x: Tensor) -> Tensor:
        y, self.memory = self.mixer.read_all(x, self.short.prefill(self.mixer.project(x)))
        return y

    def _step(self, x: Tensor) -> Tensor:
        mixed = self.short.step(self.mixer.project(x)).unsqueeze(1)
        y, self.memory = self.mixer.read_next(self.memory, x.unsqueeze(1), mixed)
        return y.squeeze(1)

    def _keep(self, rows: Tensor) -> None:
        self.short, self.memory = self.short.select(rows), self.memory[rows]

    def numbers(self) -> int:
        return self.short.numbers() + self.memory.numel()

    def flops(self) -> float | None:
        """The projections, the short convolution, and the memory faded, written and read."""
        short = self.short.flops()
        if short is None:
            return None
        mixer = self.mixer
        each = 4 if mixer.decay == "none" else 5
        memory = float(mixer.width * mixer.values_width)
        return mixer.projection_flops() + short + each * memory
