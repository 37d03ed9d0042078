"""Linear attention with decays, all tokens of a chunk at once.

    S_t = diag(a_t) S_{t-1} + k_t v_t^T,    y_t = S_t^T q_t

(gated linear attention, arXiv 2312.06635, equation 3; with a = 1 linear attention, arXiv 2006.16236, section 3.4).
Written out, y_t = sum over s <= t of ((q_t . a_{s+1} ... a_t) . k_s) v_s.

A chunk adds what the state before it gives, (q_t . a_1 ... a_t)^T S, to what its own tokens give. Where a is 1 or one
number for all channels, the latter are a masked product of matrices. Where every channel has a decay of its own, no
product of queries and keys that are scaled apart is both exact and safe: k_s / (a_1 ... a_s) has no bound. So a chunk
is halved, and its halves again, down to single tokens. For a query t in the right half and a key s in the left one,

    (q_t . a_{m+1} ... a_t) . (k_s . a_{s+1} ... a_m),    m the last place on the left,

both factors faded and none enlarged. So every pair meets in one product of matrices, and C tokens take log2 C of them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops.decays import log_decays_between, log_decays_to_end

CHUNK = 64
"""Tokens of a chunk, a power of two."""


def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor | None = None, *, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Outputs (..., length, values) and the last state (..., keys, values), from a state of zeros.

    ``query`` and ``key`` are (..., length, keys), ``value`` (..., length, values); ``log_decay`` (log a, at most 0) is
    (..., length, keys), or (..., length, 1) for all channels, or None where a is 1. All of one dtype, float32 at least.
    Differentiable. ``chunk``, a power of two, changes the result by rounding only.
    """
    length = query.shape[-2]
    chunk = _chunk(length, chunk)
    given = [query, key, value] + ([] if log_decay is None else [log_decay])
    if pad := -length % chunk:  # tokens that add nothing and fade nothing
        given = [F.pad(x, (0, 0, 0, pad)) for x in given]
    query, key, value, *decays = (x.unflatten(-2, (-1, chunk)) for x in given)
    if not decays:
        own = (query @ key.mT).tril() @ value
        sums = F.pad((key.mT @ value).cumsum(-3), (0, 0, 0, 0, 1, 0))
    else:
        (decay,) = decays
        if decay.shape[-1] == 1:
            own = (query @ key.mT * log_decays_between(decay.squeeze(-1)).exp()) @ value
        else:
            own = _by_halves(query, key, value, decay)
        since_start = decay.cumsum(-2).exp()
        query = query * since_start
        sums = _scan(since_start[..., -1, :, None], (key * log_decays_to_end(decay).exp()).mT @ value)
    outputs = query @ sums[..., :-1, :, :] + own
    return outputs.flatten(-3, -2)[..., :length, :], sums[..., -1, :, :]


def linear_attention_step(
    state: Tensor, query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One token: its output (..., values) and the next state, from ``state`` (..., keys, values)."""
    if log_decay is not None:
        state = state * log_decay.exp()[..., None]
    state = state + key[..., None] * value[..., None, :]
    return (query[..., None, :] @ state).squeeze(-2), state


def linear_attention_flops(
    length: int, keys: int, values: int, *, by_channel: bool = False, chunk: int = CHUNK
) -> float:
    """Flops of the products of matrices in ``linear_attention``; ``by_channel``: with a decay for each channel."""
    chunk = _chunk(length, chunk)
    num = -(-length // chunk)
    pairs = chunk**2
    if by_channel:
        pairs = sum((chunk // (2 * half)) * half**2 for half in _halves(chunk))
    return 2.0 * num * (pairs * (keys + values) + 2 * chunk * keys * values)


def _by_halves(query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor) -> Tensor:
    """What the tokens of a chunk give each other, (..., C, values)."""
    outputs = (query * key).sum(-1, keepdim=True) * value
    for half in _halves(query.shape[-2]):
        _, right_query = _split(query, half)
        left_key, _ = _split(key, half)
        left_value, _ = _split(value, half)
        left_decay, right_decay = _split(log_decay, half)
        met = (right_query * right_decay.cumsum(-2).exp()) @ (
            left_key * log_decays_to_end(left_decay).exp()
        ).mT
        given = met @ left_value
        outputs = outputs + torch.stack([torch.zeros_like(given), given], dim=-3).flatten(-4, -2)
    return outputs


def _split(x: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """The left and the right half of every 2 ``half`` tokens, (..., nodes, half, channels) each."""
    left, right = x.unflatten(-2, (-1, 2, half)).unbind(-3)
    return left, right


def _halves(chunk: int) -> list[int]:
    """chunk / 2, chunk / 4, ..., 1."""
    return [chunk >> n for n in range(1, chunk.bit_length())]


def _chunk(length: int, chunk: int) -> int:
    """``chunk``, or the least power of two that holds the length."""
    return min(chunk, 1 << (length - 1).bit_length())


def _scan(fade: Tensor, fresh: Tensor) -> Tensor:
    """S_0 = 0 and S_{c+1} = a_c S_c + N_c: (..., chunks + 1, keys, values)."""
    state = torch.zeros_like(fresh[..., 0, :, :])
    states = [state]
    for a, n in zip(fade.unbind(-3), fresh.unbind(-3), strict=True):
        state = torch.addcmul(n, a, state)
        states.append(state)
    return torch.stack(states, dim=-3)
