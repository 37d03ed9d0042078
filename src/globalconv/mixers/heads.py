"""The core of attention, whether keys and values come from the same sequence, a KV cache or a memory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.errors import InputError


def check_heads(width: int, num_heads: int, *, rotary: bool) -> int:
    """The width of a head. Raises InputError unless ``num_heads`` divide ``width``, with ``rotary`` into even parts."""
    if num_heads < 1 or width % num_heads:
        fits = [heads for heads in range(1, width + 1) if width % heads == 0]
        raise InputError(f"width {width} is not divisible by {num_heads} heads; heads that fit: {fits}.")
    head_width = width // num_heads
    if rotary and head_width % 2:
        raise InputError(
            f"rotary positions turn pairs of channels, so the head width must be even; it is {head_width} "
            f"({width} / {num_heads} heads). Change the width or the heads."
        )
    return head_width


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(batch, n, width) -> (batch, heads, n, head width), a view."""
    return x.view(*x.shape[:2], num_heads, x.shape[2] // num_heads).transpose(1, 2)


def attend(
    query: Tensor, key: Tensor, value: Tensor, *, seen: Tensor | None = None, causal: bool = False
) -> Tensor:
    """softmax(query key^T / sqrt(head width)) value, heads side by side: (batch, n, width), in the query's dtype.

    All are (batch, heads, n or source length, head width). ``seen`` (batch, 1, 1, source length) bool: which keys are
    real; None: all. ``causal``: query t sees the keys up to t.
    """
    # Keys may have been made under autocast and the query not, or the other way round.
    widest = torch.promote_types(query.dtype, key.dtype)
    mixed = F.scaled_dot_product_attention(
        query.to(widest), key.to(widest), value.to(widest), attn_mask=seen, is_causal=causal
    )
    return mixed.to(query.dtype).transpose(1, 2).flatten(2)
