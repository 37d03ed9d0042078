"""Causal convolution of inputs that arrive one at a time, equal to the operator's to rounding.

`OnlineConvolution` is relaxed multiplication (van der Hoeven, J. Symb. Comput. 34, 2002; for long convolutions Flash
Inference, arXiv 2410.12982, algorithm 2), with the filter known beforehand. When i tokens are in and U is the largest
power of two that divides i, the last U inputs are joined to the next U outputs by one tile. So every pair s < t meets
exactly once: at that i of s+1 .. t which the highest power of two divides. Tiles of size U come once in 2U tokens and
cost U log U; a token then costs log U for each of the log L sizes.

Below ``BLOCK`` tokens, products are as fast as tiles: an input adds itself, times the taps, to the outputs that are
left in its own block.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.ops import global_conv
from globalconv.ops.flops import spectral_flops
from globalconv.ops.interface import compute_dtype
from globalconv.states.state import MixerState, undifferentiated
from globalconv.states.tiles import tile_of

BLOCK = 64
"""Tokens, a power of two: the smallest tile."""


class OnlineConvolution(MixerState):
    """y[t] = sum_s h[s] x[t-s] + d x[t], with ``taps`` h (width, K) and ``skip`` d (width,), for any K.

    ``width``: of the inputs, where channels side by side share taps (G, K), as in ``global_conv``; None: G.

    Keeps a block, and where a sequence can be longer than one, two rings of R places for each channel: the last inputs
    and the sums for the next outputs. R is about the filter's length or the longest sequence's, whichever is less:
    what larger tiles would add has lags beyond it. Inputs may have any dtype; as the operator, it sums in float32 at
    least and rounds to the input's.
    ``backend`` computes the prompt and the tiles; None: what is fastest at each size. ``dtype``: of the inputs, where
    another is refused.
    """

    def __init__(
        self,
        taps: Tensor,
        *,
        batch: int,
        longest: int,
        width: int | None = None,
        skip: Tensor | None = None,
        backend: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(width=width or len(taps), batch=batch, longest=longest, dtype=dtype)
        self.backend = backend
        self.taps = taps.detach()[:, :longest].repeat_interleave(self.width // len(taps), dim=0)
        self.skip = None if skip is None else skip.detach()
        with undifferentiated():
            self._begin(batch, longest)

    def _begin(self, batch: int, longest: int) -> None:
        taps, backend, width = self.taps, self.backend, self.width
        exact = self.taps.to(compute_dtype(taps.dtype))
        self.ring = ring_places(exact.shape[1], longest)
        sizes = [BLOCK << n for n in range((self.ring // BLOCK).bit_length())] if longest > BLOCK else []
        self.tiles = {size: tile_of(exact, size, backend=backend) for size in sizes}
        self.block = min(BLOCK, longest)
        self.near = F.pad(exact[:, : self.block], (0, max(0, self.block - exact.shape[1]))).T.contiguous()
        if self.skip is not None:  # one more tap at lag 0
            self.near[0] += self.skip
        # Where all is one block nothing is joined, and a beam need not copy rings.
        places = self.ring if self.tiles else 0
        self.inputs = exact.new_zeros(batch, places, width)
        self.sums = exact.new_zeros(batch, places, width)
        self.block_inputs = exact.new_zeros(batch, self.block, width)
        self.block_sums = exact.new_zeros(batch, self.block, width)
        self._look()

    def _prefill(self, x: Tensor) -> Tensor:
        y = global_conv(x, self.taps[:, : x.shape[1]], mode="causal", skip=self.skip, backend=self.backend)
        n = x.shape[1]
        first = (n - 1) // BLOCK * BLOCK  # of the block that is open: the next token closes it if it is full
        held = min(first, self.ring)
        places = torch.arange(first - held, first, device=x.device) % self.ring
        self.inputs[:, places] = x[:, first - held : first].to(self.inputs.dtype)
        for size in reversed(self.tiles):
            # Of all tiles so far, those that reach beyond ``first`` stand where its lower bits are cut off.
            at = first // size * size
            if at and self._size(at) == size:
                self._join(x[:, at - size : at].to(self.inputs.dtype), at)
                self._forget(at, first)
        if first:
            self._open(first)
        for t in range(first, n):
            self._absorb(t % BLOCK, x[:, t])
        return y

    def _step(self, x: Tensor) -> Tensor:
        place = self.count % BLOCK
        if place == 0 and self.count:
            self._close(self.count)
        self._absorb(place, x)
        return self._rows[place].to(x.dtype, copy=True)

    def _absorb(self, place: int, x: Tensor) -> None:
        """Add one input to the sums of its own and of the later outputs in its block."""
        self._kept[place].copy_(x)
        ahead = self.block_sums.narrow(1, place, self.block - place)
        ahead.addcmul_(self.near.narrow(0, 0, self.block - place), x.unsqueeze(1))

    def _close(self, count: int) -> None:
        """At the end of a block: one tile, and the next block's sums."""
        start = (count - BLOCK) % self.ring
        self.inputs[:, start : start + BLOCK] = self.block_inputs
        size = self._size(count)
        before = (count - size) % self.ring
        self._join(self.inputs[:, before : before + size], count)
        self._open(count)

    def _size(self, count: int) -> int:
        return min(count & -count, self.ring)

    def _join(self, block: Tensor, count: int) -> None:
        """Add what the ``block`` of inputs before ``count`` gives to as many outputs from ``count`` on."""
        size, start = block.shape[1], count % self.ring
        self.sums[:, start : start + size] += self.tiles[size](block)

    def _open(self, count: int) -> None:
        """Take the next block's sums out of the ring; their places are another output's now."""
        start = count % self.ring
        sums = self.sums[:, start : start + BLOCK]
        self.block_sums.copy_(sums)
        sums.zero_()

    def _forget(self, start: int, end: int) -> None:
        """The sums of outputs ``start`` .. ``end`` - 1 are done with."""
        self.sums[:, start % self.ring : start % self.ring + end - start] = 0

    def _keep(self, rows: Tensor) -> None:
        self.inputs, self.sums = self.inputs[rows], self.sums[rows]
        self.block_inputs, self.block_sums = self.block_inputs[rows], self.block_sums[rows]
        self._look()

    def _look(self) -> None:
        """Views of every place in a block, made once for all blocks."""
        self._kept = self.block_inputs.unbind(1)
        self._rows = self.block_sums.unbind(1)

    def numbers(self) -> int:
        return 2 * self.inputs.numel() + 2 * self.block_inputs.numel()

    def flops(self) -> float:
        """Products inside a block, and a tile after each block."""
        products = sum(2.0 * (self.block - token % BLOCK) for token in range(self.longest))
        sizes = (self._size(count) for count in range(BLOCK, self.longest, BLOCK))
        tiles = sum(spectral_flops(2 * size, 1, wrapped=True) + size for size in sizes)
        return self.width * (products + tiles) / self.longest


class ShortConvolution(MixerState):
    """The same for a few taps: each input adds itself, times the taps, to as many outputs."""

    def __init__(self, taps: Tensor, *, batch: int, longest: int, backend: str | None = None) -> None:
        width, num_taps = taps.shape
        super().__init__(width=width, batch=batch, longest=longest, dtype=None)
        self.backend = backend
        self.taps = taps.detach()
        with undifferentiated():
            exact = self.taps.to(compute_dtype(taps.dtype))
            # Output t's sum is at place t mod K: the taps, turned as far for each of the K places of an input.
            self._lags = [exact.T.roll(place, 0) for place in range(num_taps)]
            self.sums = exact.new_zeros(batch, num_taps, width)
            self._rows = self.sums.unbind(1)

    def _prefill(self, x: Tensor) -> Tensor:
        n, num_taps = x.shape[1], len(self._lags)
        for t in range(max(0, n - num_taps + 1), n):
            self._absorb(t % num_taps, x[:, t])
            self._rows[t % num_taps].zero_()
        return global_conv(x, self.taps[:, :n], mode="causal", backend=self.backend)

    def _step(self, x: Tensor) -> Tensor:
        place = self.count % len(self._lags)
        self._absorb(place, x)
        y = self._rows[place].to(x.dtype, copy=True)
        self._rows[place].zero_()
        return y

    def _absorb(self, place: int, x: Tensor) -> None:
        self.sums.addcmul_(self._lags[place], x.unsqueeze(1))

    def _keep(self, rows: Tensor) -> None:
        self.sums = self.sums[rows]
        self._rows = self.sums.unbind(1)

    def numbers(self) -> int:
        return self.sums.numel()

    def flops(self) -> float:
        """An input, times every tap."""
        return 2.0 * len(self._lags) * self.width


def ring_places(num_taps: int, longest: int) -> int:
    """The largest tile's size: a power of two, at least BLOCK, and not beyond the filter or the sequence."""
    reach = 1 << max(0, num_taps - 2).bit_length()  # the least power of two >= num_taps - 1
    last = 1 << max(0, (longest - 1).bit_length() - 1)  # the greatest below longest
    return max(BLOCK, min(reach, last))
