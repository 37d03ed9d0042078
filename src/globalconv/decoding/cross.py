"""How a decoder reads the encoder's output, one target token at a time.

Once the memory is known, a cross mixer is a causal mixer of the target's tokens, and has a state as any other. What the
memory alone decides is computed when it begins.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from globalconv.decoding.state import MixerState, dtype_of, holding, is_exactly, undifferentiated
from globalconv.models.cross import AlignedConv, CrossAttention
from globalconv.ops import Integers, check_lengths, real_tokens


def begin_cross(
    cross: nn.Module, memory: Tensor, lengths: Integers | None = None, *, longest: int
) -> MixerState:
    """A state of ``cross`` before up to ``longest`` target tokens; ``memory`` and ``lengths`` as in its forward.

    A cross mixer from outside, or any module that is called as one, is computed on all target tokens so far again for
    each: exact, and slow. A subclass is not taken for its parent. Raises InputError for sizes that the cross mixer is
    too short for.
    """
    lengths = check_lengths(lengths, memory)
    with undifferentiated():
        if is_exactly(cross, CrossAttention):
            assert isinstance(cross, CrossAttention)
            return CrossAttentionState(cross, memory, lengths, longest=longest)
        if is_exactly(cross, AlignedConv):
            assert isinstance(cross, AlignedConv)
            return AlignedConvState(cross, memory, lengths, longest=longest)
        return RecomputedCrossState(cross, memory, lengths, longest=longest)


class CrossState(MixerState):
    """A cross mixer, and in a subclass what it keeps of the memory, which no step changes.

    ``source`` (batch,) int64: which row of the first batch each sequence answers. Where a selection leaves that as it
    is, nothing of the memory is copied.
    """

    def __init__(self, cross: nn.Module, memory: Tensor, *, longest: int) -> None:
        batch, _, width = memory.shape
        super().__init__(width=width, batch=batch, longest=longest, dtype=dtype_of(cross))
        self.source = torch.arange(len(memory), device=memory.device)

    def _keep(self, rows: Tensor) -> None:
        source = self.source[rows]
        if not torch.equal(source, self.source):  # as it mostly is: beams change places among their own
            self._keep_memory(rows)
        self.source = source

    @abstractmethod
    def _keep_memory(self, rows: Tensor) -> None:
        """Replace each tensor that was made of the memory by a new one, of these rows."""


class CrossAttentionState(CrossState):
    """Keys, turned to their places where rotary, and values: (batch, heads, source length, head width) each."""

    def __init__(
        self, cross: CrossAttention, memory: Tensor, lengths: Tensor | None, *, longest: int
    ) -> None:
        super().__init__(cross, memory, longest=longest)
        self.cross = cross
        self.keys, self.values = cross.keys_and_values(memory, lengths)
        self.seen = None if lengths is None else real_tokens(lengths, memory.shape[1])[:, None, None]

    def _prefill(self, x: Tensor) -> Tensor:
        return self.cross.look(x, self.keys, self.values, self.seen)

    def _step(self, x: Tensor) -> Tensor:
        found = self.cross.look(x.unsqueeze(1), self.keys, self.values, self.seen, first=self.count)
        return found.squeeze(1)

    def _keep_memory(self, rows: Tensor) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.seen = None if self.seen is None else self.seen[rows]

    def numbers(self) -> int:
        return self.keys.numel() + self.values.numel()


class AlignedConvState(CrossState):
    """The memory convolved, at each place that a target token can have: (batch, longest, width)."""

    def __init__(self, cross: AlignedConv, memory: Tensor, lengths: Tensor | None, *, longest: int) -> None:
        super().__init__(cross, memory, longest=longest)
        self.cross = cross
        self.mixed = cross.convolved(memory, lengths, places=longest)

    def _prefill(self, x: Tensor) -> Tensor:
        return self.cross.gated(x, self.mixed[:, : x.shape[1]])

    def _step(self, x: Tensor) -> Tensor:
        return self.cross.gated(x, self.mixed[:, self.count])

    def _keep_memory(self, rows: Tensor) -> None:
        self.mixed = self.mixed[rows]

    def numbers(self) -> int:
        return self.mixed.numel()


class RecomputedCrossState(CrossState):
    """The exact fall-back: memory, lengths and all target tokens so far. A step costs what they cost together."""

    def __init__(self, cross: nn.Module, memory: Tensor, lengths: Tensor | None, *, longest: int) -> None:
        super().__init__(cross, memory, longest=longest)
        self.cross = cross
        # What autocast made less of becomes it again where it is needed, and outside of it the weights' dtype is.
        self.memory = memory if self.dtype is None else memory.to(self.dtype)
        self.lengths = lengths
        self.inputs = self.memory.new_empty(self.batch, longest, self.width)

    def _prefill(self, x: Tensor) -> Tensor:
        self.inputs = holding(self.inputs, x)
        self.inputs[:, : x.shape[1]] = x
        return self._outputs(x.shape[1])

    def _step(self, x: Tensor) -> Tensor:
        self.inputs = holding(self.inputs, x)
        self.inputs[:, self.count] = x
        return self._outputs(self.count + 1)[:, -1].clone()

    def _outputs(self, count: int) -> Tensor:
        result: Tensor = self.cross(self.inputs[:, :count], self.memory, self.lengths)
        return result

    def _keep(self, rows: Tensor) -> None:
        super()._keep(rows)
        self.inputs = self.inputs[rows]

    def _keep_memory(self, rows: Tensor) -> None:
        self.memory = self.memory[rows]
        self.lengths = None if self.lengths is None else self.lengths[rows]

    def numbers(self) -> int:
        return self.memory.numel() + self.inputs.numel()
