"""A stack of blocks, whose mixers may differ, with a final norm; and its decoding."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer, takes_lengths
from globalconv.models.block import Activation, Block, Norm
from globalconv.models.cross_mixer import CrossMixer
from globalconv.ops import Documents, Integers, check_lengths, clear_padding
from globalconv.states import MixerState, begin
from globalconv.states.state import dtype_of


class Stack(nn.Module):
    """A stack of blocks and a final norm, with one mixer per block; give different mixers for a hybrid.

    ``cross_mixers``: one per block, in a decoder, whose blocks read a memory. ``norm``, ``activation`` and ``dropout``
    are those of the blocks; with ``norm="post"`` there is no final norm.

    The initial output weights of the channel MLPs are divided by ``scale``; by default by sqrt(2 depth), so that
    together they initially add no more to the residual stream than one alone would (GPT-2's rule). Mixers are not
    scaled: each starts as its class defines, and a skip weight of 1 adds the normalised stream to itself once more.

    Mixers are read from the blocks: one that is put there later (an adapter, a quantised copy) is the one that runs,
    decodes and counts.

    With ``lengths``, padding changes no token, and the result is 0 there. Packed ``documents`` do not see each other;
    they are padded around the mixers only.
    """

    def __init__(
        self,
        mixers: Sequence[Mixer],
        cross_mixers: Sequence[CrossMixer] | None = None,
        *,
        mlp_width: int,
        norm: Norm = "pre",
        activation: Activation = "gelu",
        dropout: float = 0.0,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        crosses = [None] * len(mixers) if cross_mixers is None else cross_mixers
        widths = {mixer.width for mixer in mixers} | {cross.width for cross in cross_mixers or ()}
        if not mixers or len(widths) != 1:
            raise InputError(
                f"a stack needs at least one mixer, all of the same width, but got widths {sorted(widths)}."
            )
        if mlp_width < 1:
            raise InputError(f"mlp_width must be at least 1, not {mlp_width}.")
        self.width = widths.pop()
        self.mlp_width = mlp_width
        self.activation = activation
        self.blocks = nn.ModuleList(
            Block(
                mixer,
                cross,
                mlp_width=mlp_width,
                norm=norm,
                activation=activation,
                dropout=dropout,
                scale=(2 * len(mixers)) ** -0.5 if scale is None else scale,
            )
            for mixer, cross in zip(mixers, crosses, strict=True)
        )
        self.norm = nn.LayerNorm(self.width) if norm == "pre" else nn.Identity()

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The blocks' current token mixers."""
        return tuple(block.mixer for block in self._each())

    @property
    def cross_mixers(self) -> tuple[CrossMixer, ...]:
        """The blocks' current cross mixers."""
        return tuple(block.cross for block in self._each() if block.cross is not None)

    def _each(self) -> Sequence[Block]:
        return cast("Sequence[Block]", self.blocks)

    def forward(
        self,
        x: Tensor,
        lengths: Integers | None = None,
        *,
        documents: Documents | None = None,
        memory: Tensor | None = None,
    ) -> Tensor:
        """(batch, length, width) -> the same, or with ``documents`` (tokens, width), packed.

        With a ``memory``, ``lengths`` are the memory's (see Block). Raises InputError if there are lengths and a mixer
        does not take them.
        """
        assert lengths is None or documents is None, "packed documents have no padding"
        rows = documents or check_lengths(lengths, x if memory is None else memory)
        if memory is None and rows is not None:
            self.check_takes_lengths()
        own = rows if memory is None and isinstance(rows, Tensor) else None
        given = {"lengths": rows, "memory": memory}
        given = {name: value for name, value in given.items() if value is not None}
        x = clear_padding(x, own)
        for block in self.blocks:
            x = block(x, **given)
        return clear_padding(self.norm(x), own)

    def check_takes_lengths(self) -> None:
        """Raise InputError if a mixer cannot mix rows of different lengths."""
        without = sorted({type(mixer).__name__ for mixer in self.mixers if not takes_lengths(mixer)})
        if without:
            raise InputError(
                f"{', '.join(without)} cannot mix rows of different lengths. Add an argument lengths to its forward "
                "(see Mixer.forward), or batch rows of equal length."
            )

    def begin(
        self, *, batch: int, longest: int, memory: Tensor | None = None, lengths: Tensor | None = None
    ) -> "StackState":
        """See ``states.begin``."""
        return StackState(self, batch=batch, longest=longest, memory=memory, lengths=lengths)

    def flops(self, length: int) -> float:
        """Forward flops for one sequence: mixers and channel MLPs (norms and GELUs not counted)."""
        mlp = 4.0 * length * self.width * self.mlp_width
        mixing = sum(mixer.flops(length) + mlp for mixer in self.mixers)
        return mixing + sum(cross.flops(length) for cross in self.cross_mixers)


class StackState(MixerState):
    """The states of a stack's blocks; a module that replaced a block may be recomputed on all tokens."""

    def __init__(
        self, stack: Stack, *, batch: int, longest: int, memory: Tensor | None, lengths: Tensor | None
    ) -> None:
        super().__init__(width=stack.width, batch=batch, longest=longest, dtype=dtype_of(stack.norm))
        self.norm = stack.norm
        self.blocks = [
            begin(block, batch=batch, longest=longest, width=stack.width, memory=memory, lengths=lengths)
            for block in stack.blocks
        ]

    def _prefill(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block.prefill(x)
        return self.norm(x)

    def _step(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block.step(x)
        return self.norm(x)

    def _keep(self, rows: Tensor) -> None:
        self.blocks = [block.select(rows) for block in self.blocks]

    def numbers(self) -> int:
        return sum(block.numbers() for block in self.blocks)
