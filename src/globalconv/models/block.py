"""The pre-norm residual block, and a stack of them whose mixers may differ from depth to depth."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.ops import Documents, check_lengths, clear_padding

Activation = Literal["gelu", "relu"]
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


class ChannelMLP(nn.Module):
    """The channel mixer: two pointwise layers, a nonlinearity between; (batch, length, width) -> same."""

    def __init__(self, width: int, hidden: int, *, activation: Activation = "gelu") -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of every token alike."""
        return self.contract(self.activation(self.expand(x)))


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x)): a token mixer and a channel mixer, each residual."""

    def __init__(self, mixer: Mixer, *, mlp_width: int) -> None:
        super().__init__()
        self.mixer_norm = nn.LayerNorm(mixer.width)
        self.mixer = mixer
        self.mlp_norm = nn.LayerNorm(mixer.width)
        self.mlp = ChannelMLP(mixer.width, mlp_width)

    def forward(self, x: Tensor, lengths: Tensor | None = None, documents: Documents | None = None) -> Tensor:
        """(batch, length, width) -> the same, or with ``documents`` (tokens, width), packed."""
        x = x + self._mix(self.mixer_norm(x), lengths, documents)
        return x + self.mlp(self.mlp_norm(x))

    def _mix(self, x: Tensor, lengths: Tensor | None, documents: Documents | None) -> Tensor:
        if documents is not None:
            return documents.map(self.mixer, x)
        return self.mixer(x) if lengths is None else self.mixer(x, lengths)


class Stack(nn.Module):
    """Blocks over depth and a last norm. One mixer per block: give different ones for a hybrid.

    The channel MLPs' output weights start smaller by sqrt(2 depth), so that at the start they add no
    more to the residual stream together than one alone would (GPT-2's rule). The mixers' do not: each
    starts as its own class says, and a skip weight of 1 adds the normalised stream to itself once more.

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
        blocks = [Block(mixer, mlp_width=mlp_width) for mixer in mixers]
        for block in blocks:
            block.mlp.contract.weight.data.mul_((2 * len(blocks)) ** -0.5)
        self.blocks = nn.ModuleList(blocks)
        self.mixers = tuple(mixers)
        self.without_lengths = sorted({type(m).__name__ for m in mixers if not m.takes_lengths})
        self.norm = nn.LayerNorm(self.width)

    def forward(self, x: Tensor, lengths: Tensor | None = None, documents: Documents | None = None) -> Tensor:
        """(batch, length, width) -> the same, or with ``documents`` (tokens, width), packed.

        Raises InputError where a mixer does not take the lengths of rows, and there are any.
        """
        assert lengths is None or documents is None, "what is packed has no padding"
        lengths = check_lengths(lengths, x)
        if not (lengths is None and documents is None):
            self.check_takes_lengths()
        x = clear_padding(x, lengths)
        for block in self.blocks:
            x = block(x, lengths, documents)
        return clear_padding(self.norm(x), lengths)

    def check_takes_lengths(self) -> None:
        """Raise InputError if a mixer cannot mix rows of different lengths."""
        if self.without_lengths:
            raise InputError(
                f"{', '.join(self.without_lengths)} cannot mix rows of different lengths: give its forward the "
                "argument lengths (see Mixer.forward), or batch rows of equal length."
            )

    def flops(self, length: int) -> float:
        """Forward flops for one sequence: mixers and channel MLPs (norms and GELUs not counted)."""
        mlp = 4.0 * length * self.width * self.mlp_width
        return sum(mixer.flops(length) + mlp for mixer in self.mixers)
