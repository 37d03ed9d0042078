"""Taps are computed in at least float32, for any dtype of the weights, any default dtype and under autocast.

In half precision a position beyond a few hundred has no fractional digits, and an angle computed from it is useless.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from globalconv.ops.interface import compute_dtype


def without_autocast(device: str) -> AbstractContextManager[object]:
    """A context without autocast on this type of device."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def wide(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or in float64 if it is float64."""
    return tensor.to(compute_dtype(tensor.dtype))


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """``layer`` applied to ``x``, in the dtype of ``x``."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def places(num: int, *, like: Tensor) -> Tensor:
    """0, 1, ..., num - 1, in the wide dtype of ``like``, on its device."""
    return torch.arange(num, dtype=compute_dtype(like.dtype), device=like.device)
