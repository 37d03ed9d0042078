"""MLP-Mixer's token mixing: a dense two-layer perceptron over positions."""

from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer, Properties
from globalconv.ops import Integers, check_lengths, clear_padding


class TokenMLP(Mixer):
    """y = W2 gelu(W1 x) along the tokens, the same for every channel (arXiv 2105.01601, equation 1).

    Position-specific and not causal: every weight belongs to a pair of places, so there is no filter
    to slide. ``hidden`` defaults to twice the length, near the published ratio (384 for 196 tokens
    in Mixer-B/16). Shorter inputs use the leading weights, which is what zeros as padding come to; a
    longer one raises InputError.
    """

    properties = Properties(whole_sequence=True, content_dependent=True)

    def __init__(self, width: int, length: int, *, causal: bool = False, hidden: int | None = None) -> None:
        super().__init__(width, length, causal=causal)
        if causal:
            raise InputError("token_mlp mixes all positions and cannot be causal; leave it out of this task.")
        self.hidden = 2 * length if hidden is None else hidden
        self.expand = nn.Linear(length, self.hidden)
        self.contract = nn.Linear(self.hidden, length)

    def forward(self, x: Tensor, lengths: Integers | None = None) -> Tensor:
        """Mix along the tokens. x: (batch, length, width), no longer than the nominal length."""
        self.check_input(x)
        length = x.shape[1]
        if length > self.length:
            raise InputError(
                f"token_mlp has weights for {self.length} positions, and the input has {length}; build it longer."
            )
        lengths = check_lengths(lengths, x)
        x = clear_padding(x, lengths)
        hidden = F.gelu(F.linear(x.transpose(1, 2), self.expand.weight[:, :length], self.expand.bias))
        mixed = F.linear(hidden, self.contract.weight[:length], self.contract.bias[:length])
        return clear_padding(mixed.transpose(1, 2), lengths)

    def flops(self, length: int) -> float:
        """Two matrix products over positions."""
        return 4.0 * length * self.hidden * self.width

    def extra_repr(self) -> str:
        """Its size, and its hidden layer's."""
        return f"{super().extra_repr()}, hidden={self.hidden}"
