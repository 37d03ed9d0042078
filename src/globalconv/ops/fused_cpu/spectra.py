"""Spectra of filters that come again: in inference the taps stay, and so may their transform.

A spectrum is found by what the taps hold, not by which tensor they are: they are compared, number by number,
with a copy of those that it was made of. So no change in place can go unnoticed, by whatever way it was made
(an optimiser's step, ``.data``, a NumPy array on the same memory); reading the taps twice costs a small part
of transforming them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from globalconv.ops.fused_cpu.kept import Kept

MOST_BYTES = 32 << 20
"""What all spectra together, and the copies of their taps, may take; the longest unused go first."""


@dataclass(frozen=True)
class _Spectra:
    taps: NDArray[Any]
    skip: NDArray[Any] | None
    spectra: Tensor

    def is_of(self, taps: Tensor, skip: Tensor | None) -> bool:
        # By NumPy, here and below: torch may take threads for it, which a process after a fork does not have.
        if (skip is None) != (self.skip is None):
            return False
        same_skip = skip is None or self.skip is None or np.array_equal(skip.detach().numpy(), self.skip)
        return same_skip and np.array_equal(taps.detach().numpy(), self.taps)


class Spectra:
    """The spectra of the filters that were used last."""

    def __init__(self) -> None:
        self._kept: Kept[_Spectra] = Kept(MOST_BYTES)

    def of(
        self,
        problem: tuple[object, ...],
        taps: Tensor,
        skip: Tensor | None,
        bytes_needed: int,
        make: Callable[[Tensor], None],
    ) -> Tensor | None:
        """The spectra of ``taps`` (G, K) and ``skip`` (D,) in ``problem``, which says all else they depend on.

        Where there are none, ``make`` fills a tensor of ``bytes_needed`` bytes. None if that is too much to keep.
        """
        nbytes = bytes_needed + taps.nbytes
        if nbytes > MOST_BYTES:
            return None
        # Where the taps lie is only a first guess.
        key = (*problem, taps.data_ptr(), tuple(taps.shape), taps.dtype)
        kept = self._kept.get(key)
        if kept is not None and kept.is_of(taps, skip):
            return kept.spectra
        spectra = torch.empty(bytes_needed, dtype=torch.uint8)
        make(spectra)
        copies = taps.detach().numpy().copy(), None if skip is None else skip.detach().numpy().copy()
        self._kept.put(key, _Spectra(*copies, spectra), nbytes)
        return spectra
