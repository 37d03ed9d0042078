"""A stack of mixers with a pointwise nonlinearity between them and nothing else."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from globalconv.mixers import Mixer

Nonlinearity = Callable[[Tensor], Tensor]


class BareStack(nn.Module):
    """mixer, nonlinearity, mixer, ..., mixer: (batch, length, width) -> the same.

    It has no norm, residual connection or channel MLP: their nonlinearities would hide what the mixers do. With
    ``torch.square`` n convolutions have interaction order 2^(n-1). Each mixer's output is divided by a constant, its
    size at ``inputs``, so that repeated squares do not overflow.
    """

    scales: Tensor

    def __init__(self, mixers: Sequence[Mixer], nonlinearity: Nonlinearity, inputs: Tensor) -> None:
        super().__init__()
        self.mixers = nn.ModuleList(mixers)
        self.nonlinearity = nonlinearity
        scales: list[Tensor] = []
        with torch.no_grad():
            x = inputs
            for mixer in mixers:
                y = mixer(nonlinearity(x) if scales else x)
                scales.append(1 / y.square().mean().sqrt())
                x = scales[-1] * y
        self.register_buffer("scales", torch.stack(scales))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        for number, mixer in enumerate(self.mixers):
            x = self.scales[number] * mixer(self.nonlinearity(x) if number else x)
        return x
