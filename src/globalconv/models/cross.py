"""How a decoder reads the encoder's output: by attention, or by a convolution laid along both."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError, unknown_name
from globalconv.filters import FreeTaps
from globalconv.mixers.positions import Rotary
from globalconv.ops import Integers, check_lengths, clear_padding, global_conv, real_tokens
from globalconv.ops.flops import global_conv_flops


class CrossMixer(nn.Module, ABC):
    """Moves information from the memory (the encoder's output) to the target's tokens.

    ``length`` is nominal, for either side; every shorter one works, a longer one works or raises InputError.
    What stands in the memory behind a sequence's own length, NaN perhaps, never reaches the result or a gradient. No
    output depends on a later target token, for these are not written yet.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.width = width
        self.length = length

    @abstractmethod
    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """(batch, target length, width) from ``x``, of this shape, and ``memory`` (batch, source length, width).

        ``lengths`` (batch,), whole numbers: how many of each memory's tokens, the first ones, are real; None: all.
        """

    @abstractmethod
    def flops(self, length: int) -> float:
        """Forward flops for ``length`` target tokens and as many of the source, 2 per multiply-add."""

    def extra_repr(self) -> str:
        """Width and length; a subclass adds its own options."""
        return f"{self.width}, {self.length}"


class CrossAttention(CrossMixer):
    """Multi-head attention with queries from the target, keys and values from the memory.

    arXiv 1706.03762, section 3.2.3. With ``rotary``, queries turn with their place in the target and keys
    with theirs in the source, so that a head can follow places as well as content.
    """

    def __init__(self, width: int, length: int, *, num_heads: int = 4, rotary: bool = False) -> None:
        super().__init__(width, length)
        if num_heads < 1 or width % num_heads or (rotary and width // num_heads % 2):
            raise InputError(
                f"width {width} cannot be cut into {num_heads} heads{' of an even width' if rotary else ''}; "
                "change the width or the heads."
            )
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.rotary = Rotary(length, width // num_heads) if rotary else None

    @property
    def turns(self) -> Tensor:
        """Where rotary: cosines and sines, (2, length, head width / 2), float32 or more."""
        assert self.rotary is not None
        return self.rotary.turns

    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """Let every target token look at the memory's real tokens."""
        lengths = check_lengths(lengths, memory)
        key, value = self.keys_and_values(memory, lengths)
        seen = None if lengths is None else real_tokens(lengths, memory.shape[1])[:, None, None]
        return self.look(x, key, value, seen)

    def keys_and_values(self, memory: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of each memory token, keys turned where rotary: (batch, heads, source length, head width) each."""
        memory = clear_padding(memory, lengths)
        key, value = (self._heads(t) for t in self.key_value(memory).chunk(2, dim=-1))
        return self._turned(key, first=0), value

    def look(self, x: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, *, first: int = 0) -> Tensor:
        """What target tokens ``x`` (batch, n, width), which stand at ``first`` .. first + n - 1, find.

        ``seen`` (batch, 1, 1, source length) bool: the memory's real tokens; None: all.
        """
        query = self._turned(self._heads(self.query(x)), first=first)
        # Keys may have been made under autocast, and the query not, or the other way round.
        widest = torch.promote_types(query.dtype, key.dtype)
        mixed = F.scaled_dot_product_attention(
            query.to(widest), key.to(widest), value.to(widest), attn_mask=seen
        )
        result: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return result

    def _turned(self, heads: Tensor, *, first: int) -> Tensor:
        return heads if self.rotary is None else self.rotary(heads, first=first)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def flops(self, length: int) -> float:
        """Four projections, scores and mixing."""
        return 8.0 * length * self.width**2 + 4.0 * length**2 * self.width

    def extra_repr(self) -> str:
        """Its size and heads."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}"


class AlignedConv(CrossMixer):
    """y[t] = W (q[t] . sum_s h[t - s] v[s]): the memory convolved, read off at the target's own place.

    q is a projection of the target's tokens, v of the memory, and h has free taps for the lags
    -(length - 1) .. length - 1 in each channel. Source place s is laid beside target place s, whatever the
    lengths are, for the target's length is not known while it is written. Of our own making, to have an arm
    without any attention; no paper's.

    What it cannot do: look up by content. From where a target token reads depends on t - s alone; its
    content decides, through the gate q, only which channels it takes. So what is read at a fixed distance
    (copying, word-by-word translation without reordering) can be learned, and what must first be found
    (reordering, a source much longer than its target) has to be carried to the right place by the
    encoder, which for a convolution is as hard.
    """

    def __init__(self, width: int, length: int, *, backend: str | None = None) -> None:
        super().__init__(width, length)
        self.query = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        # Circular taps decay round the circle, which is both ways from lag 0.
        self.filter = FreeTaps(width, 2 * length - 1, mode="circular")
        self.output = nn.Linear(width, width)
        self.backend = backend

    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """Convolve the memory over the target's places, gate by the target, project."""
        lengths = check_lengths(lengths, memory)
        return self.gated(x, self.convolved(memory, lengths, places=x.shape[1]))

    def convolved(self, memory: Tensor, lengths: Tensor | None, *, places: int) -> Tensor:
        """sum_s h[t - s] v[s] for the first ``places`` target places t, (batch, places, width).

        It depends on no target token, nor on how many there are.
        """
        reach = max(places, memory.shape[1])
        if reach > self.length:
            raise InputError(
                f"aligned_conv has taps for {self.length} places, and {reach} are given; build it longer."
            )
        # Not the operator's own lengths, which end a row's result as well: the target may go on behind its source.
        value = clear_padding(self.value(clear_padding(memory, lengths)), lengths)
        if reach > memory.shape[1]:
            value = F.pad(value, (0, 0, 0, reach - memory.shape[1]))
        taps = self.filter().roll(self.length - 1, dims=1)
        return global_conv(value, taps, mode="bidirectional", backend=self.backend)[:, :places]

    def gated(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What target tokens take of the convolved memory at their places, all (..., width)."""
        result: Tensor = self.output(self.query(x) * mixed)
        return result

    def flops(self, length: int) -> float:
        """Three projections, the convolution and the gate."""
        conv = global_conv_flops(length, self.length, self.width, mode="bidirectional")
        return 6.0 * length * self.width**2 + conv + length * self.width

    def extra_repr(self) -> str:
        """Its size and backend."""
        return f"{super().extra_repr()}, backend={self.backend!r}"


CROSS_MIXERS: dict[str, type[CrossMixer]] = {"attention": CrossAttention, "aligned_conv": AlignedConv}


def find_cross_mixer(name: str) -> type[CrossMixer]:
    """One of CROSS_MIXERS; InputError for an unknown name."""
    if name not in CROSS_MIXERS:
        raise unknown_name("cross mixer", name, CROSS_MIXERS)
    return CROSS_MIXERS[name]
