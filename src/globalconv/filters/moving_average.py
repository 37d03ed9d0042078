"""Mega's damped exponential moving average."""

import torch
from torch import Tensor, nn

from globalconv.filters.base import normalise
from globalconv.filters.exponentials import Exponentials, check_order
from globalconv.filters.precision import wide
from globalconv.ops import Mode


class MovingAverage(Exponentials):
    """r(s) = 1 / sqrt(order) sum_n g_n b_n p_n (1 - p_n q_n)^s, 0 < p, q < 1: Mega's moving average.

    See arXiv 2209.10655, equation 3 (p is its alpha, q its delta). b expands the input to ``order`` dimensions, and g
    projects back. p and q are sigmoids of parameters. b starts alternately near +1 and -1. g is drawn from a normal
    distribution and scaled to unit norm of the taps.
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal", order: int = 16) -> None:
        super().__init__(channels, length, mode=mode)
        self.order = check_order(order)
        shape = (self.sides, channels, order)
        self.p = nn.Parameter(torch.empty(shape))
        self.q = nn.Parameter(torch.empty(shape))
        self.b = nn.Parameter(torch.empty(shape))
        self.g = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters as Mega's code does."""
        with torch.no_grad():
            self.p.normal_(0, 0.2)
            self.q.normal_(0, 0.2)
            sign = 1.0 - 2.0 * (torch.arange(self.order) % 2)
            self.b.normal_(0, 0.02).add_(sign.to(self.b.device))
            self.g.normal_()
        normalise(self, self.g, dim=1)

    def modes(self) -> tuple[Tensor, Tensor]:
        """See ``Exponentials``."""
        p, q = wide(self.p).sigmoid(), wide(self.q).sigmoid()
        return torch.log1p(-p * q), wide(self.g) * wide(self.b) * p / self.order**0.5
