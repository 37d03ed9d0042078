"""A second native backend: two plain functions that know nothing of autograd, vmap or graphs, and a name."""

import torch
from torch import Tensor

from globalconv.ops import Mode
from globalconv.ops.interface import Backend
from globalconv.ops.native import register
from tests.ops.laws import token_matrix


def matrix(taps: Tensor, skip: Tensor | None, width: int, length: int, mode: Mode) -> Tensor:
    """(D, L, L): what a channel's tokens are multiplied by, the skip term among it."""
    whole = token_matrix(taps, length, mode).repeat_interleave(width // taps.shape[0], dim=0)
    return whole if skip is None else whole + torch.diag_embed(skip[:, None].expand(width, length))


def product(*factors: Tensor | None) -> Tensor:
    given = [factor for factor in factors if factor is not None]
    return torch.stack(given).prod(0)


def convolve(x, taps, skip, gate_in, gate_out, mode, reuse) -> Tensor:
    dense = matrix(taps, skip, x.shape[2], x.shape[1], mode)
    y = torch.einsum("ctu,buc->btc", dense, product(gate_in, x))
    return product(gate_out, y).contiguous()


def differentiate(x, taps, skip, gate_in, gate_out, dy, mode, wanted) -> tuple[Tensor | None, ...]:
    length, width = x.shape[1:]
    inner, outer = product(gate_in, x), product(gate_out, dy)
    dense = matrix(taps, skip, width, length, mode)
    of_inner = torch.einsum("ctu,btc->buc", dense, outer)
    of_dense = torch.einsum("btc,buc->ctu", outer, inner)
    units = torch.eye(taps.shape[1], dtype=x.dtype)
    lags = token_matrix(units, length, mode)  # which entries of the matrix hold tap k
    gradients = (
        product(gate_in, of_inner),
        torch.einsum("ctu,ktu->ck", of_dense, lags).unflatten(0, (taps.shape[0], -1)).sum(1),
        of_dense.diagonal(dim1=1, dim2=2).sum(1),
        x * of_inner,
        dy * torch.einsum("ctu,buc->btc", dense, inner),
    )
    return tuple(
        gradient.contiguous() if asked else None for gradient, asked in zip(gradients, wanted, strict=True)
    )


OPERATIONS = register("dense_matrix", "CPU", convolve, differentiate)
BACKEND = Backend(
    name="dense_matrix",
    merit="a second native backend, for tests",
    convolve=OPERATIONS.compute,
    fused=OPERATIONS.compute,
)
