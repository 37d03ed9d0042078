"""The gated delta rule, all tokens of a chunk at once: a linear recurrence with a matrix for its state.

    S_t = a_t (I - b_t k_t k_t^T) S_{t-1} + b_t k_t v_t^T,    y_t = S_t^T q_t

(Gated DeltaNet, arXiv 2412.06464, equation 10, with S transposed: keys down, values across.) The state is a memory of
pairs; with a key of norm 1 the share b_t of what it gave for k_t is replaced by v_t, after all has faded by a_t.

Written out, S_t = a_t S_{t-1} + k_t u_t^T with the correction u_t = b_t (v_t - a_t S_{t-1}^T k_t). In a chunk of C
tokens that begins with the state S, and with D_ts = a_{s+1} ... a_t and d_t = a_1 ... a_t,

    u_t = b_t (v_t - d_t S^T k_t - sum_{s<t} D_ts (k_t . k_s) u_s).

So the corrections solve one unit triangular system of C equations (section 3.3, the WY representation):

    (I + A) U = B V - (B d K) S,    A_ts = b_t D_ts (k_t . k_s) for s < t.

Its solution U = X - W S is affine in S, and so are the outputs and the next state:

    Y  = d Q S + P U    = (d Q - P W) S + P X,               P_ts = D_ts (q_t . k_s) for s <= t
    S' = d_C S + E^T U  = (d_C I - E^T W) S + E^T X,         E_t = D_Ct k_t

Everything but S is known for all chunks at once. What remains in order is S' = M S + N, a small product for each chunk.
All decays are products of the numbers a between two places, computed from sums of their logarithms between these places
alone: none is above 1, none is a quotient, and a strong decay costs its successors no digits.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops.decays import log_decays_between

CHUNK = 64
"""Tokens of a chunk. The work grows with the chunk, and the number of steps in order with its inverse."""


def gated_delta_rule(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, strength: Tensor, *, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """Outputs (..., length, values) and the last state (..., keys, values), from a state of zeros.

    ``query`` and ``key`` are (..., length, keys), ``value`` (..., length, values), ``log_decay`` (log a, at most 0) and
    ``strength`` (b, from 0 to 1) (..., length); all of one dtype, float32 at least. Keys have norm 1 at most.
    Differentiable. ``chunk`` changes the result by rounding only.
    """
    length = query.shape[-2]
    chunk = min(chunk, length)
    pad = -length % chunk  # tokens that write nothing and forget nothing
    if pad:
        query, key, value = (F.pad(x, (0, 0, 0, pad)) for x in (query, key, value))
        log_decay, strength = (F.pad(x, (0, pad)) for x in (log_decay, strength))
    query, key, value = (x.unflatten(-2, (-1, chunk)) for x in (query, key, value))
    log_decay, strength = (x.unflatten(-1, (-1, chunk)) for x in (log_decay, strength))

    within = log_decays_between(log_decay).exp()  # D
    since_start = log_decay.cumsum(-1).exp()[..., None]  # d
    scale = strength[..., None]
    attended = query @ key.mT * within  # P
    system = (scale * key) @ key.mT * within  # I + A below the diagonal, where it is read
    targets = torch.cat([scale * value, scale * since_start * key], dim=-1)
    solved = torch.linalg.solve_triangular(system, targets, upper=False, unitriangular=True)  # X, W
    reached = attended @ solved
    left = (within[..., -1, :, None] * key).mT @ solved

    values = value.shape[-1]
    fresh, moved = left[..., :values], left[..., values:]
    fade = since_start[..., -1:, :] * torch.eye(key.shape[-1], dtype=key.dtype, device=key.device)
    states = scan(fade - moved, fresh)
    outputs = (since_start * query - reached[..., values:]) @ states[..., :-1, :, :] + reached[..., :values]
    return outputs.flatten(-3, -2)[..., :length, :], states[..., -1, :, :]


def gated_delta_step(
    state: Tensor, query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, strength: Tensor
) -> tuple[Tensor, Tensor]:
    """One token: its output (..., values) and the next state, from ``state`` (..., keys, values)."""
    faded = state * log_decay.exp()[..., None, None]
    known = (key[..., None, :] @ faded).squeeze(-2)
    state = faded + key[..., None] * (strength[..., None] * (value - known))[..., None, :]
    return (query[..., None, :] @ state).squeeze(-2), state


def scan(factor: Tensor, fresh: Tensor) -> Tensor:
    """S_0 = 0 and S_{c+1} = M_c S_c + N_c, (..., chunks + 1, keys, values), from M and N (..., chunks, keys, ...)."""
    state = torch.zeros_like(fresh[..., 0, :, :])
    states = [state]
    for m, n in zip(factor.unbind(-3), fresh.unbind(-3), strict=True):
        state = n + m @ state
        states.append(state)
    return torch.stack(states, dim=-3)


def gated_delta_flops(length: int, width: int, *, chunk: int = CHUNK) -> float:
    """Flops of the products of matrices in ``gated_delta_rule``, for one head with keys and values of ``width``."""
    chunk = min(chunk, length)
    num = -(-length // chunk)
    pairs = chunk**2 * width * (2 + 2 + 4) + chunk * (chunk - 1) * 2 * width  # P, A, P [X, W]; the system
    return float(
        num * (pairs + chunk * width**2 * (4 + 2) + 2 * width**3)
    )  # E^T [X, W], what S gives; the scan
