"""The end of a layer with a linear state: every head's output brought to one size, and a gate."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from globalconv.filters.precision import wide

NORM_EPSILON = 1e-2
"""Added to the mean square of a head's outputs. The authors of such layers add 1e-5, in heads of 128 and more. In
narrow heads a query and the only key so far are often almost at right angles: with so little, 24 layers of width 32
had gradients of hundreds."""
GATE_SIZE = 0.596
"""The root mean square of SiLU of white noise."""


class HeadGate(nn.Module):
    """norm(y) . silu(gate): a root mean square norm of each head, its weights shared by the heads."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(head_width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The norm starts with weights of one."""
        nn.init.ones_(self.weight)

    def forward(self, y: Tensor, gate: Tensor) -> Tensor:
        """``y`` (batch, heads, n, head width), ``gate`` (batch, n, width): (batch, n, width) in the gate's dtype."""
        y = F.rms_norm(y, self.weight.shape, wide(self.weight), NORM_EPSILON).transpose(1, 2).flatten(2)
        return (y * F.silu(wide(gate))).to(gate.dtype)
