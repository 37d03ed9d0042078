"""Mixers that take each sequence of a batch by itself, which is what any way to mask padding must equal."""

from torch import Tensor, nn

from globalconv.mixers import Mixer


class OneByOne(Mixer):
    """A mixer applied to each sequence at its own length."""

    def __init__(self, mixer: Mixer) -> None:
        super().__init__(mixer.width, mixer.length, causal=mixer.causal)
        self.mixer = mixer

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if lengths is None:
            return self.mixer(x)
        rows = [self.mixer(row[None, :n])[0] for row, n in zip(x, lengths.tolist(), strict=True)]
        return nn.utils.rnn.pad_sequence([*rows, x[0]], batch_first=True)[:-1]

    def flops(self, length: int) -> float:
        return self.mixer.flops(length)


class Everywhere(OneByOne):
    """A mutant: it does not know which tokens are padding."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.mixer(x)
