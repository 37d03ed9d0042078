"""The diagonal state space of S4D."""

import math

import torch
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.base import normalise
from globalconv.filters.exponentials import Exponentials
from globalconv.filters.precision import wide
from globalconv.ops import Mode

FASTEST, SLOWEST = 0.1, 0.001
"""The range of the time steps dt of the channels, which are uniform on a log scale."""


class S4D(Exponentials):
    """r(s) = 2 Re sum_n C_n (exp(dt A_n) - 1) / A_n exp(dt A_n s), A_n = -1/2 + i pi n, with zero-order hold.

    This is S4D-Lin of arXiv 2206.11893 (section 4, equations 7 and 9), as in its authors' code. The real part of A is
    parametrised by the logarithm of its negative, each channel has its dt, and there are ``states`` / 2 conjugate
    pairs. A, dt and C are learned. C is drawn from a normal distribution, as in their code, and scaled to unit norm of
    the taps.
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal", states: int = 64) -> None:
        super().__init__(channels, length, mode=mode)
        if states < 2 or states % 2:
            raise InputError(f"states {states}: give an even number from 2 on; each pair is conjugate.")
        self.order = states // 2
        shape = (self.sides, channels, self.order)
        self.log_step = nn.Parameter(torch.empty(self.sides, channels, 1))
        self.log_decay = nn.Parameter(torch.empty(shape))
        self.frequency = nn.Parameter(torch.empty(shape))
        self.weight = nn.Parameter(torch.empty(*shape, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set A_n = -1/2 + i pi n, and draw dt and C."""
        with torch.no_grad():
            self.log_step.uniform_(math.log(SLOWEST), math.log(FASTEST))
            self.log_decay.fill_(math.log(0.5))
            self.frequency.copy_(math.pi * torch.arange(self.order, dtype=torch.float32))
            self.weight.normal_()
        normalise(self, self.weight, dim=1)

    def modes(self) -> tuple[Tensor, Tensor]:
        """See ``Exponentials``."""
        a = torch.complex(-wide(self.log_decay).exp(), wide(self.frequency))
        log_poles = wide(self.log_step).exp() * a
        return log_poles, 2 * torch.view_as_complex(wide(self.weight)) * torch.expm1(log_poles) / a
