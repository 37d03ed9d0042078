"""The pre-norm residual block, and a stack of them whose mixers may differ from depth to depth."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer, takes_lengths
from globalconv.ops import Documents, Integers, check_lengths, clear_padding

Activation = Literal["gelu", "relu"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


class ChannelMLP(nn.Module):
    """The channel mixer: two pointwise layers, a nonlinearity between; (batch, length, width) -> same.

    ``scale``: what its output weights are multiplied by at the start.
    """

    def __init__(
        self, width: int, hidden: int, *, activation: Activation = "gelu", scale: float = 1.0
    ) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = ScaledLinear(hidden, width, scale=scale)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of every token alike."""
        return self.contract(self.activation(self.expand(x)))


class ScaledLinear(nn.Linear):
    """A linear layer whose weights start as nn.Linear's, times ``scale``."""

    def __init__(self, fan_in: int, fan_out: int, *, scale: float) -> None:
        self.scale = scale
        super().__init__(fan_in, fan_out)

    def reset_parameters(self) -> None:
        """Draw weights and biases anew."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(self.scale)


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)): a token mixer and a channel mixer, each residual."""

    def __init__(self, mixer: Mixer, *, mlp_width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.mixer_norm = nn.LayerNorm(mixer.width)
        self.mixer = mixer
        self.mlp_norm = nn.LayerNorm(mixer.width)
        self.mlp = ChannelMLP(mixer.width, mlp_width, scale=scale)

    def forward(self, x: Tensor, lengths: Tensor | None = None, documents: Documents | None = None) -> Tensor:
        """(batch, length, width) -> the same, or with ``documents`` (tokens, width), packed."""
        if documents is not None:
            return self.around(lambda x: documents.map(self.mixer, x), x)
        return self.around(self.mixer if lengths is None else lambda x: self.mixer(x, lengths), x)

    def around(self, mix: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``forward`` with another ``mix``, such as a mixer's state; (..., width) -> the same."""
        x = x + mix(self.mixer_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Stack(nn.Module):
    """Blocks over depth and a last norm. One mixer per block: give different ones for a hybrid.

    The channel MLPs' output weights start smaller by sqrt(2 depth), so that at the start they add no
    more to the residual stream together than one alone would (GPT-2's rule). The mixers' do not: each
    starts as its own class says, and a skip weight of 1 adds the normalised stream to itself once more.

    What a block holds is the only place where a mixer is known: one that is put there later (an adapter, a quantised
    twin) is the one that runs, decodes and counts.

    Rows of different lengths come with ``lengths``; then padding changes no token, and the result is 0 there.
    Packed ``documents`` see nothing of each other; only around the mixers are they padded.
    """

    def __init__(self, mixers: Sequence[Mixer], *, mlp_width: int) -> None:
        super().__init__()
        widths = {mixer.width for mixer in mixers}
        if len(widths) != 1:
            raise InputError(
                f"a stack needs at least one mixer, all of one width; got widths {sorted(widths)}."
            )
        if mlp_width < 1:
            raise InputError(f"mlp_width must be at least 1, not {mlp_width}.")
        self.width = widths.pop()
        self.mlp_width = mlp_width
        scale = (2 * len(mixers)) ** -0.5
        self.blocks = nn.ModuleList(Block(mixer, mlp_width=mlp_width, scale=scale) for mixer in mixers)
        self.norm = nn.LayerNorm(self.width)

    @property
    def mixers(self) -> tuple[Mixer, ...]:
        """The blocks' token mixers, as they stand now."""
        return tuple(block.mixer for block in self.each_block())

    def each_block(self) -> Iterator[Block]:
        """The blocks, one after the other."""
        return iter(cast("Sequence[Block]", self.blocks))

    def forward(
        self, x: Tensor, lengths: Integers | None = None, documents: Documents | None = None
    ) -> Tensor:
        """(batch, length, width) -> the same, or with ``documents`` (tokens, width), packed.

        Raises InputError where a mixer does not take the lengths of rows, and there are any.
        """
        assert lengths is None or documents is None, "what is packed has no padding"
        lengths = check_lengths(lengths, x)
        if lengths is not None or documents is not None:
            self.check_takes_lengths()
        x = clear_padding(x, lengths)
        for block in self.blocks:
            x = block(x, lengths, documents)
        return clear_padding(self.norm(x), lengths)

    def check_takes_lengths(self) -> None:
        """Raise InputError if a mixer cannot mix rows of different lengths."""
        check_all_take_lengths(self.mixers)

    def flops(self, length: int) -> float:
        """Forward flops for one sequence: mixers and channel MLPs (norms and GELUs not counted)."""
        mlp = 4.0 * length * self.width * self.mlp_width
        return sum(mixer.flops(length) + mlp for mixer in self.mixers)


def check_all_take_lengths(mixers: Sequence[nn.Module]) -> None:
    """Raise InputError where one of ``mixers`` cannot be given rows of different lengths."""
    without = sorted({type(mixer).__name__ for mixer in mixers if not takes_lengths(mixer)})
    if without:
        raise InputError(
            f"{', '.join(without)} cannot mix rows of different lengths: give its forward the argument lengths (see "
            "Mixer.forward), or batch rows of equal length."
        )
