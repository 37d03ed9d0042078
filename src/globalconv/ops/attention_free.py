"""Means of values weighted by exp(k + w), one score for each key and channel and one for each pair of places.

    y_t = sum_s exp(k_s + w_ts) v_s / sum_s exp(k_s + w_ts)

(arXiv 2105.14103, equation 2, without the gate). The factors exp(w) and exp(k) stand apart, so that both sums are
products of matrices over places, the same for all channels. Each factor is taken relative to its largest: of w in a
row, of k in a channel. Where all tokens are seen, the one with the largest k is among them, and no sum vanishes.

A causal token may not see it: a later key that is larger by 90 would leave nothing of the earlier ones in float32. So
queries go in blocks. The keys before a block are taken relative to the largest of these alone, and the keys inside it,
few as they are, pair by pair. Both parts are joined relative to the larger.
"""

import torch
from torch import Tensor

BLOCK = 16
"""Queries of a block: pairs inside one are computed for each channel."""


def weighted_means(key: Tensor, value: Tensor, bias: Tensor, *, causal: bool) -> Tensor:
    """y, (batch, length, channels), from ``key`` and ``value`` of that shape and ``bias`` w (length, length).

    A key of -inf is not seen. ``causal``: token t sees the tokens up to t. All of one dtype, float32 at least.
    Exact as long as the biases of a row lie within 80 of each other (700 in float64).
    """
    if not causal:
        sums, _ = _sums(key, value, bias)
        total, weight = sums.chunk(2, dim=-1)
        return total / weight
    blocks = [_block(key, value, bias, start) for start in range(0, key.shape[1], BLOCK)]
    return torch.cat(blocks, dim=1)


def weighted_means_flops(length: int, channels: int, *, causal: bool) -> float:
    """Flops of the products of matrices in ``weighted_means``, for one sequence."""
    if not causal:
        return 4.0 * length**2 * channels
    return sum(4.0 * min(BLOCK, length - start) * start * channels for start in range(0, length, BLOCK))


def _block(key: Tensor, value: Tensor, bias: Tensor, start: int) -> Tensor:
    """The outputs of the queries from ``start`` on, a block of them."""
    end = min(start + BLOCK, key.shape[1])
    own = bias[start:end, start:end]
    future = torch.ones_like(own, dtype=torch.bool).triu(1)
    logits = own.masked_fill(future, float("-inf"))[..., None] + key[:, None, start:end]
    top = logits.detach().amax(2)
    if start:
        sums, scale = _sums(key[:, :start], value[:, :start], bias[start:end, :start])
        top = torch.maximum(top, scale)
    weights = (logits - top[:, :, None]).exp()
    total, weight = (weights * value[:, None, start:end]).sum(2), weights.sum(2)
    if start:
        before, weight_before = (sums * (scale - top).exp().repeat(1, 1, 2)).chunk(2, dim=-1)
        total, weight = total + before, weight + weight_before
    return total / weight


def _sums(key: Tensor, value: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """exp(w) (exp(k) v) and exp(w) exp(k), side by side, over exp(scale), (batch, queries, channels)."""
    of_keys = key.detach().amax(1, keepdim=True)
    of_places = bias.detach().amax(1, keepdim=True)
    weights = (key - of_keys).exp()
    sums = (bias - of_places).exp() @ torch.cat([weights * value, weights], dim=-1)
    return sums, of_keys + of_places
