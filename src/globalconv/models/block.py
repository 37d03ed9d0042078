"""The residual block of every model: a token mixer, perhaps a cross mixer, and a channel MLP; and its decoding."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.mixers.base import Mixer
from globalconv.models.cross_mixer import CrossMixer
from globalconv.ops import Documents
from globalconv.states import MixerState, begin

Activation = Literal["gelu", "relu"]
Norm = Literal["pre", "post"]
Branch = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[Activation, Branch] = {"gelu": F.gelu, "relu": F.relu}


class ChannelMLP(nn.Module):
    """The channel mixer: two pointwise layers with a nonlinearity between them; (batch, length, width) -> same.

    ``scale`` multiplies the initial output weights.
    """

    def __init__(
        self, width: int, hidden: int, *, activation: Activation = "gelu", scale: float = 1.0
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = ScaledLinear(hidden, width, scale=scale)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of every token."""
        return self.contract(self.activation(self.expand(x)))


class ScaledLinear(nn.Linear):
    """A linear layer whose initial weights are nn.Linear's times ``scale``."""

    def __init__(self, fan_in: int, fan_out: int, *, scale: float) -> None:
        self.scale = scale
        super().__init__(fan_in, fan_out)

    def reset_parameters(self) -> None:
        """Redraw weights and biases."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(self.scale)


class Block(nn.Module):
    """Residual branches: a token mixer, in a decoder a cross mixer, and a channel mixer.

    With ``norm="pre"`` each is x + dropout(branch(norm(x))); with "post", as in arXiv 1706.03762 (section 3.1),
    norm(x + dropout(branch(x))). ``scale``: see ChannelMLP.
    """

    def __init__(
        self,
        mixer: Mixer,
        cross: CrossMixer | None = None,
        *,
        mlp_width: int,
        norm: Norm = "pre",
        activation: Activation = "gelu",
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        width = mixer.width
        self.mixer_norm = nn.LayerNorm(width)
        self.mixer = mixer
        if cross is not None:
            self.cross_norm = nn.LayerNorm(width)
        self.cross = cross
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = ChannelMLP(width, mlp_width, activation=activation, scale=scale)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm == "pre"

    def forward(
        self, x: Tensor, lengths: Tensor | Documents | None = None, memory: Tensor | None = None
    ) -> Tensor:
        """(batch, length, width) -> the same; or packed documents (tokens, width), with a Documents as ``lengths``.

        With a ``memory`` (batch, source length, width), ``lengths`` are the memory's: the target's padding comes last,
        where a causal mixer's real tokens do not look.
        """
        if memory is None:
            return self.around(_given(self.mixer, lengths), x)
        cross = self.cross
        assert cross is not None, "only a block with a cross mixer reads a memory"
        others = (memory,) if lengths is None else (memory, lengths)
        return self.around(self.mixer, x, lambda x: cross(x, *others))

    def around(self, mix: Branch, x: Tensor, look: Branch | None = None) -> Tensor:
        """``forward`` with other branches, such as the mixers' decoding states; (..., width) -> the same."""
        x = self._added(self.mixer_norm, mix, x)
        if look is not None:
            x = self._added(self.cross_norm, look, x)
        return self._added(self.mlp_norm, self.mlp, x)

    def _added(self, norm: nn.Module, branch: Branch, x: Tensor) -> Tensor:
        y = branch(norm(x) if self.norm_first else x)
        if self.dropout.training:  # skipped otherwise, because the call alone costs time per token
            y = self.dropout(y)
        return x + y if self.norm_first else norm(x + y)

    def begin(
        self, *, batch: int, longest: int, memory: Tensor | None = None, lengths: Tensor | None = None
    ) -> "BlockState":
        """See ``states.begin``."""
        return BlockState(self, batch=batch, longest=longest, memory=memory, lengths=lengths)

    def extra_repr(self) -> str:
        """The placement of its norms."""
        return f"norm='{'pre' if self.norm_first else 'post'}'"


def _given(mixer: nn.Module, lengths: Tensor | Documents | None) -> Branch:
    """``mixer`` for rows of these lengths. A custom mixer may take no lengths."""
    if lengths is None:
        return mixer
    if isinstance(lengths, Documents):
        return partial(lengths.map, mixer)
    return lambda x: mixer(x, lengths)


class BlockState(MixerState):
    """The states of a block's mixers; everything else in a block is pointwise."""

    def __init__(
        self, block: Block, *, batch: int, longest: int, memory: Tensor | None, lengths: Tensor | None
    ) -> None:
        width = block.mlp_norm.normalized_shape[0]
        super().__init__(width=width, batch=batch, longest=longest, dtype=None)  # its mixers check the dtype
        self.block = block
        self.mixer = begin(block.mixer, batch=batch, longest=longest, width=width)
        self.cross = None
        if block.cross is not None:
            self.cross = begin(
                block.cross, batch=batch, longest=longest, width=width, memory=memory, lengths=lengths
            )

    def _prefill(self, x: Tensor) -> Tensor:
        return self.block.around(self.mixer.prefill, x, None if self.cross is None else self.cross.prefill)

    def _step(self, x: Tensor) -> Tensor:
        return self.block.around(self.mixer.step, x, None if self.cross is None else self.cross.step)

    def _keep(self, rows: Tensor) -> None:
        self.mixer = self.mixer.select(rows)
        self.cross = None if self.cross is None else self.cross.select(rows)

    def numbers(self) -> int:
        return self.mixer.numbers() + (0 if self.cross is None else self.cross.numbers())
