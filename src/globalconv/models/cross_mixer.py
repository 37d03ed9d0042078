"""How a decoder reads the encoder's output: the interface of cross mixers, and cross-attention with its decoding.

For a given memory, a cross mixer is a causal mixer of the target's tokens, and is decoded as one. Everything that
depends on the memory alone is computed when decoding begins.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from globalconv.mixers.heads import attend, check_heads, split_heads
from globalconv.mixers.positions import Rotary
from globalconv.ops import Integers, check_lengths, clear_padding, real_tokens
from globalconv.states import MemoryRows, MixerState
from globalconv.states.state import dtype_of


class CrossMixer(nn.Module, ABC):
    """Moves information from the memory (the encoder's output) to the target's tokens.

    ``length`` is nominal, for source and target; shorter ones work, longer ones work or raise InputError. Padding in
    the memory, NaN included, never reaches the result or a gradient. No output depends on a later target token, because
    those are not generated yet.
    """

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        self.width = width
        self.length = length

    @abstractmethod
    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """(batch, target length, width) from ``x``, of this shape, and ``memory`` (batch, source length, width).

        ``lengths`` (batch,), integers: the number of real tokens in each memory, which come first; None: all.
        """

    @abstractmethod
    def flops(self, length: int) -> float:
        """Forward flops for ``length`` target tokens and ``length`` source tokens, 2 per multiply-add."""

    def extra_repr(self) -> str:
        """Width and length; a subclass adds its own options."""
        return f"{self.width}, {self.length}"


class CrossAttention(CrossMixer):
    """Multi-head attention with queries from the target, keys and values from the memory.

    arXiv 1706.03762, section 3.2.3. With ``rotary``, queries are rotated by their position in the target and keys
    by theirs in the source, so that a head can attend by position as well as by content.
    """

    def __init__(self, width: int, length: int, *, num_heads: int = 4, rotary: bool = False) -> None:
        super().__init__(width, length)
        head_width = check_heads(width, num_heads, rotary=rotary)
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.rotary = Rotary(length, head_width) if rotary else None

    def forward(self, x: Tensor, memory: Tensor, lengths: Integers | None = None) -> Tensor:
        """Attend from every target token to the memory's real tokens."""
        return self.look(x, *self.keys_and_values(memory, check_lengths(lengths, memory)))

    def keys_and_values(self, memory: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys (rotated if rotary) and values, (batch, heads, source length, head width) each, and a mask.

        The mask (batch, 1, 1, source length) bool is True for real tokens; None: all are real.
        """
        memory = clear_padding(memory, lengths)
        key, value = (split_heads(t, self.num_heads) for t in self.key_value(memory).chunk(2, dim=-1))
        seen = None if lengths is None else real_tokens(lengths, memory.shape[1])[:, None, None]
        return self._turned(key, first=0), value, seen

    def look(self, x: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, *, first: int = 0) -> Tensor:
        """The attention output of target tokens ``x`` (batch, n, width) at positions ``first`` .. first + n - 1."""
        query = self._turned(split_heads(self.query(x), self.num_heads), first=first)
        return self.output(attend(query, key, value, seen=seen))

    def _turned(self, heads: Tensor, *, first: int) -> Tensor:
        return heads if self.rotary is None else self.rotary(heads, first=first)

    def begin(
        self, *, batch: int, longest: int, memory: Tensor, lengths: Integers | None = None
    ) -> "CrossAttentionState":
        """See ``states.begin``."""
        return CrossAttentionState(self, memory, check_lengths(lengths, memory), longest=longest)

    def flops(self, length: int) -> float:
        """Four projections, scores and mixing."""
        return 8.0 * length * self.width**2 + 4.0 * length**2 * self.width

    def extra_repr(self) -> str:
        """Its size and heads."""
        return f"{super().extra_repr()}, num_heads={self.num_heads}"


class CrossAttentionState(MixerState):
    """Keys, values and the mask of the memory; a query is rotated by its own position."""

    def __init__(
        self, cross: CrossAttention, memory: Tensor, lengths: Tensor | None, *, longest: int
    ) -> None:
        super().__init__(width=cross.width, batch=len(memory), longest=longest, dtype=dtype_of(cross))
        self.cross = cross
        self.memory = MemoryRows(*cross.keys_and_values(memory, lengths))

    def _prefill(self, x: Tensor) -> Tensor:
        return self.cross.look(x, *self.memory.tensors)

    def _step(self, x: Tensor) -> Tensor:
        return self.cross.look(x.unsqueeze(1), *self.memory.tensors, first=self.count).squeeze(1)

    def _keep(self, rows: Tensor) -> None:
        self.memory = self.memory.select(rows)

    def numbers(self) -> int:
        return self.memory.numbers()
