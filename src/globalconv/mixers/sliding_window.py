"""Attention within a window, in blocks, so that its cost grows with the length and not with its square."""

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.mixers.heads import attend


def attend_within(
    query: Tensor, key: Tensor, value: Tensor, *, window: int, causal: bool, lengths: Tensor | None = None
) -> Tensor:
    """Each token attends to the tokens less than ``window`` places away: (batch, length, width) as ``heads.attend``.

    All are (batch, heads, length, head width). ``causal``: to itself and the ``window`` - 1 before it. ``lengths``
    (batch,): only the first of each row are tokens; what the others get is undefined.

    Blocks of ``window`` queries meet their own block of keys and the one before, and after; so 2 or 3 window pairs are
    computed for each token.
    """
    batch, length = query.shape[0], query.shape[2]
    blocks = -(-length // window)
    neighbours = 1 if causal else 2

    def padded(x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, blocks * window - length))

    def in_blocks(x: Tensor) -> Tensor:
        """(batch blocks, heads, window, head width), the blocks of a sequence side by side."""
        return padded(x).unflatten(2, (blocks, window)).transpose(1, 2).flatten(0, 1)

    def with_neighbours(x: Tensor) -> Tensor:
        around = F.pad(padded(x), (0, 0, window, window * (neighbours - 1)))
        own = around.unfold(2, (1 + neighbours) * window, window)  # (batch, heads, blocks, head width, keys)
        return own.permute(0, 2, 1, 4, 3).flatten(0, 1)

    place = torch.arange(window, device=query.device)[:, None]
    other = torch.arange((1 + neighbours) * window, device=query.device) - window
    near = (place - other < window) & ((other <= place) if causal else (other - place < window))
    absolute = torch.arange(blocks, device=query.device)[:, None] * window + other
    ends = torch.full((batch,), length, device=query.device) if lengths is None else lengths
    real = (absolute >= 0) & (absolute < ends[:, None, None])  # (batch, blocks, keys)
    # A token of padding looks at itself alone: a row without any key would be NaN, in its gradients too.
    itself = other == place
    seen = (near & real[:, :, None]) | itself
    mixed = attend(
        in_blocks(query), with_neighbours(key), with_neighbours(value), seen=seen.flatten(0, 1)[:, None]
    )
    return mixed.view(batch, blocks * window, mixed.shape[2])[:, :length]


def pairs_within(length: int, window: int, *, causal: bool) -> int:
    """How many pairs of a query and a key ``attend_within`` computes for ``length`` tokens."""
    blocks = -(-length // window)
    return blocks * window * (2 if causal else 3) * window
