"""Positions that are computed, not learned: sinusoids that are added, and angles by which pairs of channels are turned.

Both are tables of cosines and sines of t times a rate. In half precision an angle of some hundreds has no digit behind
the point left, so they are computed in float64, and kept and used in float32 at least, whatever the default dtype, the
default device and the dtype of the module.
"""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from globalconv.ops.interface import compute_dtype

WITH_FLOAT64 = ("cpu", "cuda", "meta")
"""Kinds of devices that are known to have float64; for others the tables are made on the CPU."""


def sinusoids(length: int, width: int, *, like: Tensor | None = None) -> Tensor:
    """The fixed position vectors of arXiv 1706.03762, section 3.5: (length, width), float32 or more.

    ``like``: on its device, and in float64 if it is; None: on the CPU.
    """
    angle, place = _angles(length, width, like)
    return place(torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width])


def rotary_turns(length: int, head_width: int, *, like: Tensor | None = None) -> Tensor:
    """Cosines and sines of the angles t 10000^(-2i / head_width), (2, length, head_width / 2), float32 or more.

    ``like``: on its device, and in float64 if it is; None: on the CPU.
    """
    angle, place = _angles(length, head_width, like)
    return place(torch.stack([angle.cos(), angle.sin()]))


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the channel pairs (i, i + head_width / 2) of x, (..., length, head_width), by their angle.

    Computed in the more exact dtype of the two, and rounded to x's.
    """
    cos, sin = turns
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1).to(x.dtype)


class Rotary(nn.Module):
    """Turns heads by their places (RoFormer, arXiv 2104.09864, equation 34), with a table for ``length`` of them.

    The table is a buffer that no state_dict holds. It moves with the module and is recomputed then: a conversion
    to half precision leaves it as exact as it was, and memory that was not there before (``to_empty``) is filled.
    """

    turns: Tensor

    def __init__(self, length: int, head_width: int) -> None:
        super().__init__()
        self.length = length
        self.head_width = head_width
        self.register_buffer(
            "turns",
            rotary_turns(length, head_width, like=torch.empty(0, dtype=torch.float32)),
            persistent=False,
        )

    def forward(self, heads: Tensor, *, first: int = 0) -> Tensor:
        """``heads`` (..., n, head_width), of the tokens at ``first`` .. first + n - 1, turned; any place works."""
        return rotate(heads, self.table(first + heads.shape[-2], like=heads)[:, first:])

    def table(self, length: int, *, like: Tensor) -> Tensor:
        """The turns of the first ``length`` places, on the device of ``like``."""
        if length <= self.length and self.turns.device == like.device:
            return self.turns[:, :length]
        return rotary_turns(length, self.head_width, like=self.turns.new_empty(0, device=like.device))

    def reset_parameters(self) -> None:
        """Recompute the table on its device."""
        self.turns = rotary_turns(self.length, self.head_width, like=self.turns)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What .to(), .half(), .to_empty() and their like do to every module, as in torch.nn.RNNBase."""
        before = self.turns
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.turns is not before:
            self.reset_parameters()
        return self

    def extra_repr(self) -> str:
        """Its size."""
        return f"{self.length}, {self.head_width}"


def _angles(length: int, width: int, like: Tensor | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """(length, half of the width, rounded up) in float64, and how a table made of them is rounded and moved."""
    wanted = torch.device("cpu") if like is None else like.device
    device = wanted if wanted.type in WITH_FLOAT64 else torch.device("cpu")
    dtype = torch.float32 if like is None else compute_dtype(like.dtype)
    rate = torch.exp(
        -math.log(10000.0) * torch.arange(0, width, 2, dtype=torch.float64, device=device) / width
    )
    angle = torch.arange(length, dtype=torch.float64, device=device)[:, None] * rate
    return angle, lambda table: table.to(wanted, dtype)
