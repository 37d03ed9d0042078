"""Causal convolution of inputs that arrive one at a time, equal to the operator's to rounding.

`OnlineConvolution` is relaxed multiplication (van der Hoeven, J. Symb. Comput. 34, 2002; for long convolutions Flash
Inference, arXiv 2410.12982, algorithm 2), for a filter that is known in advance. After i tokens, let U be the largest
power of two that divides i. One tile then adds the last U inputs to the next U outputs. So every pair s < t is covered
exactly once: at the i in s+1 .. t that is divisible by the highest power of two. Tiles of size U occur once in 2U
tokens and cost U log U; so a token costs log U for each of the log L sizes.

Below ``BLOCK`` tokens, products are as fast as tiles: an input adds itself, times the taps, to the remaining outputs of
its block.
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
"""The smallest tile in tokens, a power of two."""


class OnlineConvolution(MixerState):
    """y[t] = sum_s h[s] x[t-s] + d x[t], with ``taps`` h (width, K) and ``skip`` d (width,), for any K.

    ``width``: the number of input channels, if adjacent channels share taps (G, K), as in ``global_conv``; None: G.

    It keeps one block and, for longer sequences, two rings of R positions per channel: the last inputs and the sums of
    the next outputs. R is about the filter's length or the longest sequence's, whichever is smaller, because larger
    tiles would only have lags beyond it. Inputs may have any dtype; like the operator, it accumulates in at least
    float32 and rounds to the input's dtype. ``backend`` computes the prompt and the tiles; None: the fastest at each
    size. ``dtype``: the only dtype of inputs that is accepted; None: any.
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
        if self.skip is not None:  # the skip weight is one more tap at lag 0
            self.near[0] += self.skip
        # A sequence within one block needs no rings, which a beam would have to copy.
        places = self.ring if self.tiles else 0
        self.inputs = exact.new_zeros(batch, places, width)
        self.sums = exact.new_zeros(batch, places, width)
        self.block_inputs = exact.new_zeros(batch, self.block, width)
        self.block_sums = exact.new_zeros(batch, self.block, width)
        self._look()

    def _prefill(self, x: Tensor) -> Tensor:
        y = global_conv(x, self.taps[:, : x.shape[1]], mode="causal", skip=self.skip, backend=self.backend)
        n = x.shape[1]
        first = (n - 1) // BLOCK * BLOCK  # start of the open block, which the next token closes if it is full
        held = min(first, self.ring)
        places = torch.arange(first - held, first, device=x.device) % self.ring
        self.inputs[:, places] = x[:, first - held : first].to(self.inputs.dtype)
        for size in reversed(self.tiles):
            # The tiles that reach beyond ``first`` are at ``first`` with its lower bits cleared.
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
        """Add one input to the sums of its own output and of the later outputs in its block."""
        self._kept[place].copy_(x)
        ahead = self.block_sums.narrow(1, place, self.block - place)
        ahead.addcmul_(self.near.narrow(0, 0, self.block - place), x.unsqueeze(1))

    def _close(self, count: int) -> None:
        """At the end of a block: compute one tile and take the next block's sums."""
        start = (count - BLOCK) % self.ring
        self.inputs[:, start : start + BLOCK] = self.block_inputs
        size = self._size(count)
        before = (count - size) % self.ring
        self._join(self.inputs[:, before : before + size], count)
        self._open(count)

    def _size(self, count: int) -> int:
        return min(count & -count, self.ring)

    def _join(self, block: Tensor, count: int) -> None:
        """Add the contribution of the ``block`` of inputs before ``count`` to as many outputs from ``count`` on."""
        size, start = block.shape[1], count % self.ring
        self.sums[:, start : start + size] += self.tiles[size](block)

    def _open(self, count: int) -> None:
        """Take the next block's sums out of the ring and free their positions."""
        start = count % self.ring
        sums = self.sums[:, start : start + BLOCK]
        self.block_sums.copy_(sums)
        sums.zero_()

    def _forget(self, start: int, end: int) -> None:
        """Clear the sums of outputs ``start`` .. ``end`` - 1."""
        self.sums[:, start % self.ring : start % self.ring + end - start] = 0

    def _keep(self, rows: Tensor) -> None:
        self.inputs, self.sums = self.inputs[rows], self.sums[rows]
        self.block_inputs, self.block_sums = self.block_inputs[rows], self.block_sums[rows]
        self._look()

    def _look(self) -> None:
        """Create the views of every position in a block, once for all blocks."""
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
    """The same for a few taps: each input adds itself, times the taps, to the next outputs."""

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
        self.taps = taps.detach().repeat_interleave(self.width // len(taps), dim=0)
        self.skip = None if skip is None else skip.detach()
        num_taps, width = taps.shape[1], self.width
        with undifferentiated():
            exact = self.taps.to(compute_dtype(taps.dtype), copy=True)
            if skip is not None:  # one more tap at lag 0
                exact[:, 0] += skip
            # The sum of output t is at t mod K, so there is a rotated copy of the taps for each of the K positions.
            self._lags = [exact.T.roll(place, 0) for place in range(num_taps)]
            self.sums = exact.new_zeros(batch, num_taps, width)
            self._rows = self.sums.unbind(1)

    def _prefill(self, x: Tensor) -> Tensor:
        n, num_taps = x.shape[1], len(self._lags)
        for t in range(max(0, n - num_taps + 1), n):
            self._absorb(t % num_taps, x[:, t])
            self._rows[t % num_taps].zero_()
        return global_conv(x, self.taps[:, :n], mode="causal", skip=self.skip, backend=self.backend)

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
    """The size of the largest tile: a power of two, at least BLOCK, limited by the filter and the sequence."""
    reach = 1 << max(0, num_taps - 2).bit_length()  # the least power of two >= num_taps - 1
    last = 1 << max(0, (longest - 1).bit_length() - 1)  # the greatest below longest
    return max(BLOCK, min(reach, last))
