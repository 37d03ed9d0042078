"""Filters with a formula: one response for each side."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.filters.base import Filter
from globalconv.filters.precision import without_autocast
from globalconv.ops import Mode
from globalconv.ops.graphs import known


class Response(Filter):
    """A filter made of responses r(0), r(1), ..., which are defined for any number of tokens.

    Causal taps are one response. The other modes have a second response, with separate parameters, for later tokens.
    It begins at lag -1, as in S4, LongConv and SGConv, so that lag 0 is not counted twice. In mode circular the two
    meet halfway: lag s looks back up to half of the length, and ahead beyond that.
    """

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal") -> None:
        super().__init__(channels, length, mode=mode)
        self.sides = 1 if mode == "causal" else 2

    @abstractmethod
    def response(self, num: int) -> Tensor:
        """r(0) .. r(num - 1), back and, with two sides, ahead: (sides, channels, num)."""

    def forward(self, length: int) -> Tensor:
        """The taps for ``length`` tokens, in at least float32. See ``Filter``."""
        with without_autocast(next(self.parameters()).device.type):
            return self._taps(length)

    def _taps(self, length: int) -> Tensor:
        if self.mode == "causal":
            return self.response(length)[0]
        if not known(length):
            return self._taps_of_open_length(length)
        if self.mode == "bidirectional":
            back, ahead = self.response(length)
            return torch.cat([ahead[:, : length - 1].flip(1), back], dim=1)
        nearest = length // 2 + 1
        back, ahead = self.response(nearest)
        return torch.cat([back[:, :nearest], ahead[:, : length - nearest].flip(1)], dim=1)

    def _taps_of_open_length(self, length: int) -> Tensor:
        """As ``_taps``, without slices whose size would be asked for."""
        back, ahead = self.response(length)
        if self.mode == "circular":
            lag = torch.arange(length, device=back.device)
            return torch.where(lag <= length // 2, back, ahead.flip(1))
        lag = torch.arange(2 * length - 1, device=back.device) - (length - 1)
        ahead = ahead.index_select(1, (-1 - lag).clamp(min=0))
        return torch.where(lag < 0, ahead, back.index_select(1, lag.clamp(min=0)))


def sized(responses: Tensor, num: int) -> Tensor:
    """``responses`` (..., K) of finite length as (..., num): truncated, or padded with zeros."""
    if not known(num):
        place = torch.arange(num, device=responses.device).clamp(max=responses.shape[-1])
        return F.pad(responses, (0, 1)).index_select(-1, place)
    return F.pad(responses, (0, num - responses.shape[-1]))
