"""Conversion between taps in lag order and other conventions.

Lag order: tap s multiplies the input s steps *earlier*. Deep learning mostly uses correlations, whose
weight j multiplies the input j steps *later*. All functions here are differentiable.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops.graphs import known
from globalconv.ops.interface import Mode

FEW_TAPS = 8
"""Up to this number of taps, a graph with a symbolic length keeps them and serves all lengths from there on."""


def taps_from_correlation(weights: Tensor) -> Tensor:
    """Circular taps h[s] = W[(-s) mod L] that compute y[t] = sum_t' W[t'] x[(t'+t) mod L].

    ``weights`` is (G, L), as long as the sequence: pad a shorter W with zeros at the end.
    Returns (G, L). The function is its own inverse, and it maps taps to those of the adjoint (transposed) layer.
    """
    _check_filters(weights, "weights")
    return torch.cat([weights[:, :1], weights[:, 1:].flip(1)], dim=1)


def correlation_from_taps(taps: Tensor, *, length: int) -> Tensor:
    """Weights W[t'] = h[(-t') mod L] with which a circular correlation equals the convolution with ``taps``.

    ``taps`` is (G, K) with K <= ``length``, the sequence's length L. Returns (G, L).
    """
    _check_filters(taps, "taps")
    if taps.shape[1] > length:
        raise InputError(
            f"{taps.shape[1]} taps do not fit a circle of length {length}: cut them to taps[:, :{length}]."
        )
    return taps_from_correlation(F.pad(taps, (0, length - taps.shape[1])))


def taps_from_conv1d(weight: Tensor) -> Tensor:
    """Taps (channels, K) of a depthwise torch.nn.Conv1d ``weight`` (channels, 1, K).

    With K-1 values padded on the left (zeros: causal; the sequence's end: circular), or with an odd K
    and (K-1)/2 zeros on either side (bidirectional), ``global_conv`` computes what the Conv1d does.
    """
    if weight.ndim != 3 or weight.shape[1] != 1:
        raise InputError(
            f"weight must be (channels, 1, num_taps), that of Conv1d(width, width, num_taps, groups=width), "
            f"and its shape is {tuple(weight.shape)}."
        )
    return weight[:, 0].flip(1)


def conv1d_from_taps(taps: Tensor) -> Tensor:
    """The weight (channels, 1, K) of a depthwise torch.nn.Conv1d with ``taps`` (channels, K): its inverse."""
    _check_filters(taps, "taps")
    return taps.flip(1)[:, None]


def bidirectional_from_causal(taps: Tensor) -> Tensor:
    """The taps (G, 2K-1) whose result in mode bidirectional is that of ``taps`` (G, K) in mode causal."""
    _check_filters(taps, "taps")
    return F.pad(taps, (taps.shape[1] - 1, 0))


def taps_for(length: int, mode: Mode) -> int:
    """The number of taps of a filter as long as ``length`` tokens: one for each lag between two of them."""
    return 2 * length - 1 if mode == "bidirectional" else length


def taps_that_reach(taps: Tensor, length: int, mode: Mode) -> Tensor:
    """``taps`` (G, K) truncated for ``global_conv`` on ``length`` tokens: in mode circular to at most ``length``.

    If the length is symbolic, more than a few taps are truncated or padded with zeros to the length.
    """
    if mode != "circular":  # where the operator truncates them
        return taps
    num_taps = taps.shape[1]
    if known(length) and num_taps <= length:
        return taps
    if known(length) or num_taps <= FEW_TAPS:
        return taps[:, :length]
    place = torch.arange(length, device=taps.device).clamp(max=num_taps)
    return F.pad(taps, (0, 1)).index_select(1, place)


def _check_filters(filters: Tensor, name: str) -> None:
    if filters.ndim != 2 or 0 in filters.shape:
        raise InputError(
            f"{name} must be (channels, num_taps) or (groups, num_taps), none of them 0, and the shape is "
            f"{tuple(filters.shape)}."
        )
