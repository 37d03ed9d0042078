"""Filters from taps: any filter sampled into free taps, and sums of exponentials fitted to given taps.

The Hankel matrix H_ij = h[i + j] of a sum of n exponentials has rank n, and a shift of its column space is a matrix of
n x n there, whose eigenvalues are the poles (Kung 1978; ESPRIT, Roy and Kailath 1989, doi 10.1109/29.32276). The column
space comes from a randomized range finder (arXiv 0909.4061, algorithm 4.4), whose products with H are transforms, so
that H is never made.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.base import Filter
from globalconv.filters.exponentials import FreeExponentials, check_order
from globalconv.filters.free_taps import FreeTaps
from globalconv.filters.precision import wide
from globalconv.ops.conventions import taps_for
from globalconv.ops.interface import useful_taps
from globalconv.ops.spectral import next_fast_length

SPARE = 10
"""Directions that the range finder takes beyond those wanted."""
ROUNDS = 2
"""Of the range finder: each makes weak singular vectors weaker beside the strong ones."""
SLOWEST, FASTEST = 1e-9, 40.0
"""Bounds of -log|z|, the slowest divided by the number of taps: every pole is inside the unit circle, as the filter's
must be, and one at 0 leaves nothing at lag 1, even in float64."""
AT_ONCE = 32
"""Channels fitted together, which bounds the memory."""


def free_taps_of(filter_: Filter, length: int | None = None) -> FreeTaps:
    """Free taps, trainable, with the values of any filter's for ``length`` tokens, by default its nominal length.

    A convolution of ``length`` tokens with either is the same. So is one of fewer tokens, except of a filter on a
    circle that has other taps there; for more tokens, the free taps end. The filter's modules are taken in eval mode.
    Raises InputError where the filter has no taps for so many tokens.
    """
    length = filter_.length if length is None else length
    with torch.no_grad():
        taps = useful_taps(copy.deepcopy(filter_).eval()(length), length, filter_.mode)
        missing = taps_for(length, filter_.mode) - taps.shape[1]
        before = missing // 2 if filter_.mode == "bidirectional" else 0
        taps = F.pad(taps, (before, missing - before))
    with torch.device("meta"):  # where nothing is drawn
        made = FreeTaps(filter_.channels, length, mode=filter_.mode)
    made.taps = nn.Parameter(taps)
    return made


def fit_exponentials(
    taps: Tensor, order: int, *, length: int | None = None, seed: int = 0
) -> tuple[FreeExponentials, Tensor]:
    """A causal filter of ``order`` exponentials close to ``taps`` (channels, K), for decoding in O(order) a token.

    Returns the filter and the error, (channels,): the norm of its first K taps minus the given ones, relative to the
    norm of these (0 where all taps are 0). Look at it: taps without structure, white noise for one, are no sums of
    few exponentials, and stay as far off as the error says. It mostly falls as the order grows; that it never rises is
    not promised. Real poles, and pairs of complex ones, count as one exponential each.

    The poles are those of a balanced realisation, of the highest rank that ``order`` exponentials can have; the weights
    are the least squares of all taps. Poles on and outside the unit circle are moved inside, which costs most where
    taps have not decayed at their end. Everything is computed in float64 on the CPU; the filter has the taps' dtype
    (float32 for half precision) and device. In float32 the angle of a pole is rounded, by 2e-7 at most, which at lag s
    is s times as much: give taps in float64 for more digits. 256 channels of 4096 taps take one to three minutes on two
    cores, by order 16 and 32.

    ``length``: the filter's nominal length, by default K. ``seed`` draws the directions of the range finder; no other
    generator is used. Raises InputError for taps of another shape, or that are not finite.
    """
    check_order(order)
    if taps.ndim != 2 or 0 in taps.shape:
        raise InputError(f"taps must be (channels, num_taps), none of them 0, and are {tuple(taps.shape)}.")
    if not taps.is_floating_point() or not taps.isfinite().all():
        raise InputError("taps must be finite numbers: NaN, inf and other kinds of numbers have no fit.")
    channels, num_taps = taps.shape
    with torch.device("meta"):
        made = FreeExponentials(channels, length or num_taps, order=order)
    made = made.to_empty(device=taps.device).to(wide(taps).dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        exact = taps.detach().double().cpu()
        rate, angle = (
            torch.cat(each)
            for each in zip(*(_poles(some, order, generator) for some in exact.split(AT_ONCE)), strict=True)
        )
        made.log_rate.copy_(rate.log()[None])
        made.angle.copy_(angle[None])
        # Of the poles as they were rounded, so that the weights make up for it.
        log_poles = torch.complex(-made.log_rate.double().exp(), made.angle.double())[0].cpu()
        precision = torch.finfo(made.weight.dtype).eps ** 0.5
        weights = [
            _weights(*pair, precision)
            for pair in zip(log_poles.split(AT_ONCE), exact.split(AT_ONCE), strict=True)
        ]
        made.weight.copy_(torch.cat(weights)[None])
        off = (made(num_taps).double().cpu() - exact).norm(dim=1)
        error = torch.where(off == 0, 0, off / exact.norm(dim=1))
    return made, error.to(taps.device)


def _poles(taps: Tensor, order: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """-log|z| and the angle of ``order`` poles for each channel, both (channels, order).

    The poles of the highest rank that needs no more than ``order`` of them, of each conjugate pair one. What is left
    over is put at 0: one more weight for lag 0.
    """
    channels, num_taps = taps.shape
    space, rank = _column_space(taps, 2 * order, generator)
    last = space[:, -1]  # (channels, directions)
    shifted = space[:, :-1].mT @ space[:, 1:]
    poles = torch.zeros(channels, order, dtype=torch.complex128)
    missing = torch.ones(channels, dtype=torch.bool)
    for size in range(space.shape[2], 0, -1):
        here = (missing & (rank >= size)).nonzero()[:, 0]
        if not len(here):
            continue
        # The least-squares solution X of space[:-1] X = space[1:], whose normal matrix is I - w w^T, w the last row.
        w = last[here, :size, None]
        inside = shifted[here, :size, :size]
        left = (1 - w.square().sum(1, keepdim=True)).clamp_min(torch.finfo(w.dtype).eps)
        found = torch.linalg.eigvals(inside + w @ (w.mT @ inside) / left)
        upper = found.imag >= 0  # LAPACK gives exact pairs for a real matrix
        fits = upper.sum(1) <= order
        place = (~upper[fits]).to(torch.int64).argsort(dim=1, stable=True)
        chosen = torch.where(upper[fits], found[fits], 0).gather(1, place)[:, :order]
        poles[here[fits]] = F.pad(chosen, (0, order - chosen.shape[1]))
        missing[here[fits]] = False
    return (-poles.abs().log()).clamp(SLOWEST / num_taps, FASTEST), poles.angle()


def _column_space(taps: Tensor, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Of each channel's Hankel matrix the first left singular vectors, (channels, rows, most), and the rank.

    There are fewer where the matrix is small. Directions beyond the rank are rounding.
    """
    num_taps = taps.shape[1]
    rows = num_taps // 2 + 1
    columns = num_taps - rows + 1
    points = next_fast_length(num_taps)
    spectrum = torch.fft.rfft(taps, n=points)[:, None]

    def times(block: Tensor, num: int) -> Tensor:
        """sum_j h[i + j] block[j], i < num: both the matrix and its transpose, (channels, num, directions)."""
        there = torch.fft.rfft(block.mT, n=points).conj()
        return torch.fft.irfft(spectrum * there, n=points)[..., :num].mT

    directions = min(most + SPARE, rows, columns)
    start = torch.randn(columns, directions, generator=generator, dtype=taps.dtype)
    space = torch.linalg.qr(times(start.expand(len(taps), -1, -1), rows)).Q
    for _ in range(ROUNDS):
        space = torch.linalg.qr(times(torch.linalg.qr(times(space, columns)).Q, rows)).Q
    small, values, _ = torch.linalg.svd(times(space, columns).mT, full_matrices=False)
    most = min(most, directions, rows - 1)
    above = values[:, :most] > num_taps * torch.finfo(taps.dtype).eps * values[:, :1]
    return (space @ small)[..., :most], above.sum(1)


def _weights(log_poles: Tensor, taps: Tensor, precision: float) -> Tensor:
    """c with sum_s |Re sum_n c_n z_n^s - taps[s]|^2 least: (channels, order, 2).

    Combinations of exponentials that cancel but for a share of ``precision`` are left out: their weights would be huge,
    and what they leave would drown in rounding, in the recurrence above all.
    """
    lags = torch.arange(taps.shape[1], dtype=taps.dtype)
    powers = torch.exp(log_poles[:, None] * lags[:, None])
    size = powers.norm(
        dim=1, keepdim=True
    ).real  # of both parts: the imaginary one of a real pole is rounding
    scaled = powers / size
    basis, triangle = torch.linalg.qr(torch.cat([scaled.real, -scaled.imag], dim=2))
    left, values, right = torch.linalg.svd(triangle, full_matrices=False)
    kept = values > precision * values[:, :1]
    inverse = torch.where(kept, 1 / values, 0)[..., None]
    found = right.mT @ (inverse * (left.mT @ (basis.mT @ taps[..., None])))
    return found.unflatten(1, (2, -1))[..., 0].mT / size.mT
