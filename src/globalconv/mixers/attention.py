"""Multi-head self-attention, the default rival, and its decoding with a KV cache."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, unknown_name
from globalconv.filters.short_taps import short_filter
from globalconv.mixers.base import Mixer, Properties
from globalconv.mixers.heads import attend, check_heads, split_heads
from globalconv.mixers.positions import Rotary, rotate, sinusoids
from globalconv.mixers.sliding_window import attend_within, pairs_within
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.states.cache import TokenCache
from globalconv.states.state import MixerState, dtype_of, is_exactly, undifferentiated

AttentionPositions = Literal["rotary", "learned", "sinusoidal", "none"]
POSITION_STD = 0.5
"""The initial standard deviation of learned positions."""


class Attention(Mixer):
    """Multi-head scaled dot-product self-attention (arXiv 1706.03762, section 3.2).

    ``positions`` selects the position encoding. "rotary" rotates queries and keys
    (RoFormer, arXiv 2104.09864, equation 34). "learned" and "sinusoidal" (1706.03762, section 3.5) add
    a vector per position to the input of queries and keys, but not of values. "none" adds
    nothing; without ``causal`` the layer is then equivariant to permutations of the tokens.

    ``short_taps``: queries, keys and values pass through a short causal convolution with this many taps, which starts
    as the identity (Primer, arXiv 2109.08668, section 3.2); 0 means none. ``window``: a token attends only to tokens
    that are less than this many positions away (Longformer, arXiv 2004.05150, section 3.1), at a cost that is linear in
    the length and not quadratic.

    Any length works, except that learned positions end at the nominal length (InputError beyond it).
    """

    properties = Properties(whole_sequence=True, content_dependent=True, looks_up=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        num_heads: int = 4,
        positions: AttentionPositions = "rotary",
        short_taps: int = 0,
        window: int | None = None,
    ) -> None:
        super().__init__(width, length, causal=causal)
        if positions not in get_args(AttentionPositions):
            raise unknown_name("attention positions", positions, get_args(AttentionPositions))
        self.num_heads = num_heads
        self.head_width = check_heads(width, num_heads, rotary=positions == "rotary")
        self.positions = positions
        if window is not None:
            if window < 1:
                raise InputError(f"a window of {window}: use at least 1, or omit it for the whole sequence.")
            self.properties = replace(self.properties, whole_sequence=False, linear=True)
        self.window = window
        self.short_taps = short_taps
        self.short_filter = short_filter(3 * width, short_taps, length, mode="causal")
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        if positions == "learned":
            self.position = nn.Parameter(torch.empty(length, width))
        elif positions == "rotary":
            self.rotary = Rotary(length, self.head_width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise learned positions; projections and rotary positions reset themselves."""
        if self.positions == "learned":
            nn.init.normal_(self.position, std=POSITION_STD)

    @property
    def turns(self) -> Tensor:
        """The cosines and sines of rotary positions, (2, length, head width / 2), in at least float32."""
        return self.rotary.turns

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Let every token attend to the others. x: (batch, length, width)."""
        self.check_input(x)
        lengths = check_lengths(lengths, x)
        x = clear_padding(x, lengths)
        places = self.places(x.shape[1], like=x)
        heads = self.queries_keys_values(x, places, partial(self.short_filter.convolve, lengths=lengths))
        return clear_padding(self.output(self.mixed(*heads, lengths)), lengths)

    def mixed(self, query: Tensor, key: Tensor, value: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The attention output (batch, n, width) of whole sequences; each argument is (batch, heads, n, head width)."""
        if self.window is not None and self.window < query.shape[2]:
            return attend_within(query, key, value, window=self.window, causal=self.causal, lengths=lengths)
        seen = None
        if (
            lengths is not None and not self.causal
        ):  # all earlier tokens of a real token are real, so the causal mask is enough
            seen = real_tokens(lengths, query.shape[2])[:, None, None]
        return attend(query, key, value, seen=seen, causal=self.causal)

    def places(self, length: int, *, like: Tensor) -> Tensor | None:
        """The encoding of the first ``length`` positions, on the device of ``like``, or None if there is none.

        Rotary positions have cosines and sines (2, length, head width / 2); the others have vectors (length, width).
        """
        if self.positions == "rotary":
            return self.rotary.table(length, like=like)
        if self.positions == "sinusoidal":
            return sinusoids(length, self.width, like=like)
        if self.positions == "none":
            return None
        if length > self.length:
            raise InputError(
                f"learned positions end at length {self.length}, and there are {length} tokens: build the layer with "
                "a larger length, or use rotary or sinusoidal positions."
            )
        return self.position[:length]

    def queries_keys_values(
        self, x: Tensor, places: Tensor | None, convolve: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For tokens ``x`` (batch, n, width) with position encoding ``places``: (batch, heads, n, head width) each.

        ``convolve`` is the short convolution; it maps (batch, n, 3 width) to the same shape.
        """
        parts = self._projected(x, places)
        if self.short_taps:
            parts = convolve(torch.cat(parts, dim=-1)).chunk(3, dim=-1)
        query, key, value = (split_heads(part, self.num_heads) for part in parts)
        if places is not None and self.positions == "rotary":
            query, key = rotate(query, places), rotate(key, places)
        return query, key, value

    def _projected(self, x: Tensor, places: Tensor | None) -> tuple[Tensor, ...]:
        if places is None or self.positions == "rotary":
            return self.project(x).chunk(3, dim=-1)
        placed = (x + places).to(x.dtype)
        if not is_exactly(self.project, nn.Linear):  # an adapter, for example: its weight cannot be split
            return *self.project(placed).chunk(3, dim=-1)[:2], self.project(x).chunk(3, dim=-1)[2]
        weight_qk, weight_v = self.project.weight.split([2 * self.width, self.width])
        bias_qk, bias_v = self.project.bias.split([2 * self.width, self.width])
        query, key = F.linear(placed, weight_qk, bias_qk).chunk(2, dim=-1)
        return query, key, F.linear(x, weight_v, bias_v)

    def begin(self, *, batch: int, longest: int) -> "AttentionState":
        """See ``states.begin``."""
        return AttentionState(self, batch=batch, longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, and scores and weighted sums for the pairs that the mask leaves."""
        pairs = length * (length + 1) / 2 if self.causal else length**2
        if self.window is not None and self.window < length:
            pairs = pairs_within(length, self.window, causal=self.causal)
        short = self.short_filter.flops(length, 3 * self.width)
        return 8.0 * length * self.width**2 + short + 4.0 * pairs * self.width

    def extra_repr(self) -> str:
        """Size, heads, positions and window."""
        window = "" if self.window is None else f", window={self.window}"
        return f"{super().extra_repr()}, num_heads={self.num_heads}, positions='{self.positions}'{window}"


class AttentionState(MixerState):
    """The KV cache: keys, with rotary positions applied, and values, (batch, heads, longest, head width) each."""

    def __init__(self, mixer: Attention, *, batch: int, longest: int) -> None:
        super().__init__(width=mixer.width, batch=batch, longest=longest, dtype=dtype_of(mixer))
        self.mixer = mixer
        self.places = mixer.places(longest, like=mixer.output.weight)
        self.short = mixer.short_filter.begin(
            width=3 * mixer.width, batch=batch, longest=longest, skip=None, backend=None
        )
        self.keys, self.values = TokenCache(longest), TokenCache(longest)

    def _prefill(self, x: Tensor) -> Tensor:
        return self.mixer.output(self.mixer.mixed(*self._stored(x)))

    def _step(self, x: Tensor) -> Tensor:
        query, keys, values = self._stored(x.unsqueeze(1))
        if self.mixer.window is not None and self.mixer.window < keys.shape[2]:
            keys, values = (cache[:, :, -self.mixer.window :] for cache in (keys, values))
        return self.mixer.output(attend(query, keys, values)).squeeze(1)

    def remember(self, x: Tensor) -> None:
        """Read ``x`` (batch, n, width) without computing outputs: this is linear in n, and outputs are quadratic."""
        with undifferentiated():
            self._stored(x)
        self.count += x.shape[1]

    def _stored(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cache keys and values of the next tokens; return their queries, and all keys and values so far."""
        start = self.count
        places = None if self.places is None else self.places.narrow(-2, start, x.shape[1])
        query, key, value = self.mixer.queries_keys_values(x, places, self._shortly)
        return query, self.keys.put(key, start=start), self.values.put(value, start=start)

    def _shortly(self, projected: Tensor) -> Tensor:
        if self.short.count == 0:
            return self.short.prefill(projected)
        return torch.stack([self.short.step(token) for token in projected.unbind(1)], dim=1)

    def _keep(self, rows: Tensor) -> None:
        self.short = self.short.select(rows)
        self.keys = self.keys.select(rows, count=self.count)
        self.values = self.values.select(rows, count=self.count)

    def numbers(self) -> int:
        return 2 * self.batch * self.longest * self.width + self.short.numbers()

    def flops(self) -> float:
        """Four projections, the rotation, and scores and weighted sums over the tokens so far."""
        rotary = 6.0 * self.width if self.mixer.positions == "rotary" else 0.0
        longest, window = self.longest, self.mixer.window or self.longest
        seen = sum(min(count, window) for count in range(1, longest + 1)) / longest
        return 8.0 * self.width**2 + (self.short.flops() or 0.0) + rotary + 4.0 * seen * self.width
