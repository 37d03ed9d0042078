"""What is left of a token at a later place, where each place between them fades it: products, by sums of logarithms.

Every sum is one of its own numbers alone. A difference of sums from the start would have no digits left behind a strong
decay, and a quotient of products would be 0 / 0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def log_decays_between(log_decay: Tensor) -> Tensor:
    """log (a_{s+1} ... a_t) at (t, s), and -inf for s > t: (..., C) -> (..., C, C)."""
    size = log_decay.shape[-1]
    places = torch.arange(size, device=log_decay.device)
    later = places[:, None] > places
    steps = torch.where(later, log_decay[..., None], 0.0).cumsum(-2)
    return steps.masked_fill(later.T, float("-inf"))


def log_decays_to_end(log_decay: Tensor) -> Tensor:
    """log (a_{s+1} ... a_C) at place s: (..., C, channels) -> the same."""
    return F.pad(log_decay[..., 1:, :], (0, 0, 0, 1)).flip(-2).cumsum(-2).flip(-2)
