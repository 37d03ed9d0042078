"""What one token's output owes to another token's input."""

from collections.abc import Callable

import torch
from torch import Tensor


def token_jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(L, D, L, D): derivative of output [t, c] by input [u, d], at ``x`` (L, D), a batch of one."""
    return torch.autograd.functional.jacobian(lambda row: function(row[None])[0], x)
