"""The operator on rows of different lengths, made of the operator on rows of one length.

Above the backends, so that all of them inherit it. Where nothing wraps round (causal, bidirectional), zeros as
padding are all there is to it: what lies outside a sequence is zero there anyway. In a circle each row has a period
of its own, and no transform is common to them. Three ways round, from cheap to general:

- few taps: the row's end is copied in front of it, and the taps run over both, causally;
- much work for each different length: rows of equal length are convolved together, one length after another;
- else each row gets a filter of its own (``taps_of_rows``), which says the circle's terms in lags of either sign: one
  bidirectional convolution computes them all.

Taps may be each row's own before, too.

``benchmarks/lengths.py`` measures them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.ops.graphs import surely
from globalconv.ops.interface import Extras, Mode, with_extras
from globalconv.ops.lengths import each_length, known_values

Convolve = Callable[[Tensor, Tensor, Mode], Tensor]
"""A convolution of rows of one length, as ``Backend.convolve``, with taps (G, K), or (B, G, K) of each row its own."""

FEW_TAPS = 1 / 8
"""As a share of the length. With so few taps, copying as much of each row and redoing shorter rows costs little."""
FEWEST_NUMBERS = 2**15
"""In x for each different length: as many keep a call busy, so that a call for each length beats a filter for each
row. On a CPU, where a call costs little and the lengths can be read without waiting; elsewhere not measured."""


def circular(x: Tensor, taps: Tensor, lengths: Tensor, extras: Extras, convolve: Convolve) -> Tensor:
    """y[t] = sum of h[s] x[(t-s) mod n] over s < min(K, n), n the row's length, and ``extras`` around it.

    Padding must be zeros in ``x`` and the gates; what the result holds there is undefined.
    """
    return with_extras(lambda u: _circular(u, taps, lengths, convolve), x, extras)


def _circular(x: Tensor, taps: Tensor, lengths: Tensor, convolve: Convolve) -> Tensor:
    num_taps = taps.shape[-1]
    values = known_values(lengths) if x.device.type == "cpu" else None
    if surely(num_taps <= FEW_TAPS * x.shape[1]):
        y = _end_before_start(x, taps, lengths, convolve)
        if num_taps == 1 or (values is not None and min(values) >= num_taps):
            return y
        return _redo_shorter_rows(y, x, taps, lengths, convolve)
    if values is not None and FEWEST_NUMBERS * len(set(values)) <= x.numel():
        return _equal_lengths_together(x, taps, lengths, convolve)
    return _a_filter_for_each_row(x, taps, lengths, convolve)


def _end_before_start(x: Tensor, taps: Tensor, lengths: Tensor, convolve: Convolve) -> Tensor:
    """Right for rows that are at least as long as the taps."""
    around = taps.shape[-1] - 1
    end = (lengths[:, None] + torch.arange(-around, 0, device=x.device)).clamp(min=0)
    before = x.gather(1, end[..., None].expand(-1, -1, x.shape[2]))
    return convolve(torch.cat([before, x], dim=1), taps, "causal")[:, around:]


def _redo_shorter_rows(y: Tensor, x: Tensor, taps: Tensor, lengths: Tensor, convolve: Convolve) -> Tensor:
    """``y`` with its rows replaced that are shorter than the taps: these end before the taps do."""
    most = taps.shape[-1] - 1
    short = _a_filter_for_each_row(x[:, :most], taps[..., :most], lengths.clamp(max=most), convolve)
    short = F.pad(short, (0, 0, 0, x.shape[1] - most))
    return torch.where((lengths <= most)[:, None, None], short, y)


def _equal_lengths_together(x: Tensor, taps: Tensor, lengths: Tensor, convolve: Convolve) -> Tensor:
    def alike(rows: Tensor, n: int) -> Tensor:
        of_rows = taps if taps.ndim == 2 else taps[rows]
        return convolve(x[rows, :n], of_rows[..., :n], "circular")

    return each_length(lengths, x.shape[1], alike)


def _a_filter_for_each_row(x: Tensor, taps: Tensor, lengths: Tensor, convolve: Convolve) -> Tensor:
    """Lag l, -n < l < n, of a row of length n carries tap l mod n, if there is one; other lags carry nothing."""
    (rows, length, _), (groups, num_taps) = x.shape, taps.shape[-2:]
    lag = torch.arange(1 - length, length, device=x.device)
    tap = lag % lengths[:, None]
    nothing = (lag.abs() >= lengths[:, None]) | (tap >= num_taps)
    tap = torch.where(nothing, num_taps, tap)  # the zero that is put behind the taps
    filters = F.pad(taps, (0, 1)).expand(rows, -1, -1).gather(2, tap[:, None].expand(-1, groups, -1))
    return convolve(x, filters, "bidirectional")
