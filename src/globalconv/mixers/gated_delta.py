"""The gated delta rule: a memory of pairs of keys and values that is corrected and fades, in place of attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.filters.precision import wide, without_autocast
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.head_gate import GATE_SIZE, HeadGate
from globalconv.mixers.heads import check_heads
from globalconv.ops import Integers, check_lengths, clear_padding
from globalconv.ops.delta_rule import gated_delta_flops, gated_delta_rule, gated_delta_step
from globalconv.ops.interface import compute_dtype
from globalconv.states import MixerState
from globalconv.states.state import dtype_of

LENGTH_EPSILON = 1e-6
"""Added to squared lengths of queries and keys."""
SLOWEST, FASTEST = 0.001, 0.1
"""Time steps of the decay at the start, uniform on a log scale between them."""


class GatedDelta(Mixer):
    """y = W (norm(S_t^T q_t) . silu(gate)), S_t = a_t (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T in each head.

    Gated DeltaNet (arXiv 2412.06464, equation 10, with its transpose for S; the block of its figure 1, with the output
    gate) by its authors' code (flash-linear-attention, ``fla/layers/gated_deltanet.py``): q, k and v are projections of
    x behind a short convolution of ``short_taps`` taps (0: none) and SiLU; q and k are divided by their lengths, q by
    the root of the head width too; b = sigmoid of a projection; a = exp(-exp(A) softplus(projection + bias)), as in
    Mamba-2; a root mean square norm for each head, more softened than theirs, and the gate (``HeadGate``).
    A head's keys and values have one width, where the authors' values are twice as wide. No projection has a bias.

    Any length works, in time linear in it (``ops.delta_rule``). It looks back only: causal=False raises InputError.
    Decoded at the cost of one token, whatever came before.
    """

    properties = Properties(whole_sequence=True, content_dependent=True, looks_up=True, linear=True)

    def __init__(
        self, width: int, length: int, *, causal: bool = False, num_heads: int = 4, short_taps: int = 3
    ) -> None:
        super().__init__(width, length, causal=causal)
        if not causal:
            raise InputError(
                "gated_delta looks back only: build it with causal=True, or leave it out of this task."
            )
        self.num_heads = num_heads
        self.head_width = check_heads(width, num_heads, rotary=False)
        self.short_filter = short_filter(3 * width, short_taps, length, mode=self.mode)
        self.project = nn.Linear(width, 4 * width + 2 * num_heads, bias=False)
        self.log_rate = nn.Parameter(torch.empty(num_heads))
        self.step_bias = nn.Parameter(torch.empty(num_heads))
        self.gate = HeadGate(self.head_width)
        self.output = nn.Linear(width, width, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Decays as the authors draw them, and projections that keep the size of white noise."""
        nn.init.normal_(self.project.weight, std=1 / math.sqrt(self.width))
        nn.init.normal_(self.output.weight, std=1 / (GATE_SIZE * math.sqrt(self.width)))
        with torch.no_grad():
            self.log_rate.uniform_(0.01, 16).log_()
            steps = torch.empty_like(self.step_bias).uniform_(math.log(SLOWEST), math.log(FASTEST)).exp_()
            self.step_bias.copy_(steps + torch.log(-torch.expm1(-steps)))  # the inverse of softplus

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Write every token into the memory and read it. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        mixed, others = self.projected(clear_padding(x, lengths))
        mixed = self.short_filter.convolve(mixed, lengths=lengths)
        y, _ = self.read_all(mixed, others)
        return clear_padding(y, lengths)

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What queries, keys and values are made of, (..., 3 width), and gates, decays and strengths."""
        mixed, others = self.project(x).split([3 * self.width, self.width + 2 * self.num_heads], dim=-1)
        return mixed, others

    def read_all(self, mixed: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (batch, n, width), and the memory that is left, (batch, heads, head width, head width).

        ``mixed`` and ``others`` are those of ``projected``, (batch, n, ...), behind the short convolution.
        """
        with without_autocast(mixed.device.type):
            y, memory = gated_delta_rule(*self._operands(mixed, others))
            y = self.gate(y, others[..., : self.width])
        return self.output(y), memory

    def read_next(self, memory: Tensor, mixed: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """The same of one token more, with n = 1, behind those that left ``memory``."""
        with without_autocast(mixed.device.type):
            y, memory = gated_delta_step(memory, *(x.squeeze(2) for x in self._operands(mixed, others)))
            y = self.gate(y.unsqueeze(2), others[..., : self.width])
        return self.output(y), memory

    def _operands(self, mixed: Tensor, others: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys, values (batch, heads, n, head width), log decays and strengths, in float32 or more."""
        heads = wide(mixed).unflatten(-1, (3, self.num_heads, self.head_width))
        query, key, value = F.silu(heads.permute(2, 0, 3, 1, 4).contiguous()).unbind(0)
        rates, strength = wide(others[..., self.width :]).mT.split(self.num_heads, dim=1)
        log_decay = -wide(self.log_rate).exp()[:, None] * F.softplus(rates + wide(self.step_bias)[:, None])
        return _unit(query) / math.sqrt(self.head_width), _unit(key), value, log_decay, strength.sigmoid()

    def begin(self, *, batch: int, longest: int) -> "GatedDeltaState":
        """See ``states.begin``."""
        return GatedDeltaState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Five projections and the decays' and strengths', the short convolution, and the products of the rule."""
        projections = 2.0 * length * self.width * (5 * self.width + 2 * self.num_heads)
        short = self.short_filter.flops(length, 3 * self.width)
        return projections + short + self.num_heads * gated_delta_flops(length, self.head_width)

    def extra_repr(self) -> str:
        """Its size and heads."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}"


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + LENGTH_EPSILON)


class GatedDeltaState(MixerState):
    """The memory of every head, (batch, heads, head width, head width), and the short convolution's sums."""

    def __init__(self, mixer: GatedDelta, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.short = mixer.short_filter.begin(
            width=3 * mixer.width, batch=batch, longest=longest, skip=None, backend=None
        )
        weight = mixer.output.weight
        self.memory = weight.new_zeros(
            batch, mixer.num_heads, mixer.head_width, mixer.head_width, dtype=compute_dtype(weight.dtype)
        )

    def _prefill(self, x: Tensor) -> Tensor:
        mixed, others = self.mixer.projected(x)
        y, self.memory = self.mixer.read_all(self.short.prefill(mixed), others)
        return y

    def _step(self, x: Tensor) -> Tensor:
        mixed, others = self.mixer.projected(x)
        mixed = self.short.step(mixed).unsqueeze(1)
        y, self.memory = self.mixer.read_next(self.memory, mixed, others.unsqueeze(1))
        return y.squeeze(1)

    def _keep(self, rows: Tensor) -> None:
        self.short, self.memory = self.short.select(rows), self.memory[rows]

    def numbers(self) -> int:
        return self.short.numbers() + self.memory.numel()

    def flops(self) -> float | None:
        """The projections, the short convolution, and the memory faded, read twice and written once."""
        short = self.short.flops()
        if short is None:
            return None
        mixer = self.mixer
        projections = 2.0 * self.width * (5 * self.width + 2 * mixer.num_heads)
        return projections + short + 7.0 * self.width * mixer.head_width
