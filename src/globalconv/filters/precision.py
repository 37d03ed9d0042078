"""Taps are computed in float32 at least, whatever the weights' dtype, the default dtype and autocast say.

In half precision a position beyond some hundreds has no digit behind the point, and an angle made of it none at all.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from globalconv.ops.interface import compute_dtype


def without_autocast(device: str) -> AbstractContextManager[object]:
    """Operations on this kind of device in the dtypes that they are given."""
    if not torch.amp.is_autocast_available(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


def wide(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or in float64 if it is."""
    return tensor.to(compute_dtype(tensor.dtype))


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """What ``layer`` makes of ``x``, in the dtype of ``x``."""
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))


def places(num: int, *, like: Tensor) -> Tensor:
    """0, 1, ..., num - 1, in the wide dtype of ``like``, on its device."""
    return torch.arange(num, dtype=compute_dtype(like.dtype), device=like.device)
