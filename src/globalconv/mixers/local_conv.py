"""A depthwise convolution with few taps: the baseline for a global one."""

import torch
from torch import nn

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.mixers.base import Properties, check_num_filters
from globalconv.mixers.convolution import Convolution


class LocalConv(Convolution):
    """y = h * x + d x with ``taps`` free taps h: ``global_conv`` restricted to a neighbourhood.

    If causal, the taps are for the token itself and the ``taps`` - 1 tokens before it. Otherwise their number is odd
    and they are centred, with zeros outside the sequence, as in torch.nn.Conv1d(width, width, taps, padding="same",
    groups=width), plus the skip term of ``global_conv``. It does not wrap around. Any length works.

    ``num_filters``: as in ``GlobalConv``. Raises InputError for an even number of centred taps.
    """

    properties = Properties(linear=True)

    def __init__(
        self,
        width: int,
        length: int,
        *,
        causal: bool = False,
        taps: int = 3,
        num_filters: int | None = None,
        backend: str | None = None,
    ) -> None:
        super().__init__(width, length, mode="causal" if causal else "bidirectional", causal=None)
        if taps < 1 or not (causal or taps % 2):
            raise InputError(
                f"local_conv with {taps} taps: use an odd number of at least 1, so that they are centred on a token."
                if not causal
                else f"local_conv with {taps} taps: use at least 1."
            )
        self.taps = taps
        self.num_filters = check_num_filters(num_filters, width)
        reach = taps if causal else (taps + 1) // 2
        self.filter = FreeTaps(self.num_filters, min(reach, length), mode=self.mode, init="flat")
        self.skip = nn.Parameter(torch.empty(width))
        self.backend = backend
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Size, mode and taps."""
        return f"{super().extra_repr()}, taps={self.taps}"
