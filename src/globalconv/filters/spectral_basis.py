"""The spectral filters of the STU: a fixed basis, the eigenvectors of a Hankel matrix."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from globalconv.errors import InputError
from globalconv.filters.base import normalise
from globalconv.filters.precision import wide
from globalconv.filters.response import Response, sized
from globalconv.ops import Mode
from globalconv.ops.interface import compute_dtype

NODES = 24
"""The number of quadrature nodes in each octave of 1 - a."""


class SpectralBasis(Response):
    """r = sum_k sigma_k^(1/4) (m_k phi_k(s) + w_k (-1)^s phi_k(s)), with free m and w: arXiv 2312.06837, section 3.

    phi_k are the first ``order`` eigenvectors of Z_ij = 2 / ((i + j)^3 - (i + j)), i, j = 1 .. length, and sigma_k
    their eigenvalues. A few of them approximate linear systems with real poles well, also slow ones. This is the form
    that contracts the basis before the convolution, with one filter per channel (``use_approx`` in the code of Flash
    STU); the other form has a matrix of width x width for each k. Beyond the nominal length, taps are 0.
    """

    basis: Tensor

    def __init__(self, channels: int, length: int, *, mode: Mode = "causal", order: int = 24) -> None:
        super().__init__(channels, length, mode=mode)
        if order < 1:
            raise InputError(f"order {order}: use at least 1.")
        self.order = min(order, length)
        self.weight = nn.Parameter(torch.empty(self.sides, channels, 2 * self.order))
        self.register_buffer("basis", self._basis(self.weight), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw normal weights, and scale them to unit norm of the taps."""
        self.basis = self._basis(self.weight)
        with torch.no_grad():
            self.weight.normal_()
        normalise(self, self.weight, dim=1)

    def _basis(self, like: Tensor) -> Tensor:
        basis = torch.from_numpy(_scaled_basis(self.length, self.order))
        return basis.to(like.device, compute_dtype(like.dtype))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Recompute the basis, which is not a weight, after .to(), .half(), .to_empty() and similar calls."""
        before = self.basis
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.basis is not before:
            self.basis = self._basis(self.weight)
        return self

    def response(self, num: int) -> Tensor:
        """See ``Response``."""
        return sized(wide(self.weight) @ self.basis, num)

    def reach(self, length: int) -> int:
        """See ``Filter``."""
        return min(length, self.length)

    def extra_repr(self) -> str:
        """Size, mode and order."""
        return f"{super().extra_repr()}, order={self.order}"


@lru_cache(maxsize=8)
def _scaled_basis(length: int, order: int) -> NDArray[np.float64]:
    """(2 order, length): the scaled eigenvectors, and the same with every second sign flipped."""
    values, vectors = hankel_eigenvectors(length, order)
    scaled = (values**0.25 * vectors).T
    turned = scaled * (-1.0) ** np.arange(length)
    return np.concatenate([scaled, turned])


def hankel_eigenvectors(length: int, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest ``order`` eigenvalues of Z in descending order, and their eigenvectors (length, order).

    Z_ij is the integral of a^(i-1) a^(j-1) (1 - a)^2 over a from 0 to 1. So Z = B B^T up to rounding, where B has a
    column for each node of a quadrature that is finer towards 1. The eigenvectors are the singular vectors of B, and no
    matrix of length x length is made. The directions of eigenvalues below the rounding of the first are arbitrary.
    """
    point, weight = np.polynomial.legendre.leggauss(NODES)
    octaves = math.ceil(math.log2(length)) + 6
    upper = 2.0 ** -np.arange(octaves + 1)  # of 1 - a; the last interval reaches to 0
    lower = np.append(upper[1:], 0.0)
    rest = ((upper - lower)[:, None] * (point + 1) / 2 + lower[:, None]).ravel()
    weights = ((upper - lower)[:, None] * weight / 2).ravel()
    places = np.arange(length)
    columns = np.exp(np.log1p(-rest) * places[:, None]) * rest * np.sqrt(weights)
    vectors, values, _ = np.linalg.svd(columns, full_matrices=False)
    signs = np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    return values[:order] ** 2, (vectors * signs)[:, :order]
