"""The laws see what is easily done wrong in an online convolution."""

from itertools import pairwise

import pytest
import torch

from globalconv.ops import global_conv
from globalconv.states import OnlineConvolution, online, tiles
from globalconv.states.online import BLOCK, ShortConvolution
from tests.decoding.catalogue import decoded, worst_error

TOKENS = 6 * BLOCK + 5
ROUNDING = 1e-11


def largest_error(
    kind, num_taps: int, *, prompts=(0, 1, BLOCK, BLOCK + 1, 3 * BLOCK + 2, 5 * BLOCK)
) -> float:
    torch.manual_seed(0)
    taps = torch.randn(3, num_taps, dtype=torch.float64)
    x = torch.randn(1, TOKENS, 3, dtype=torch.float64)
    expected = global_conv(x, taps, mode="causal", backend="reference")
    return max(
        worst_error(decoded(kind(taps, batch=1, longest=TOKENS), x, prompt=prompt), expected)
        for prompt in prompts
    )


class TapsReversed(OnlineConvolution):
    def __init__(self, taps, **options):
        super().__init__(taps.flip(1), **options)


class BlockDropped(OnlineConvolution):
    """The tiles of one size are left out."""

    def _join(self, block, count):
        if block.shape[1] != 2 * BLOCK:
            super()._join(block, count)


class TileTooSmall(OnlineConvolution):
    """Every tile of the smallest size."""

    def _size(self, count):
        return BLOCK


class StaleSums(OnlineConvolution):
    """The ring's places are not cleared for their next outputs."""

    def _open(self, count):
        start = count % self.ring
        self.block_sums.copy_(self.sums[:, start : start + BLOCK])


class SumsOfThePromptLeft(OnlineConvolution):
    def _forget(self, start, end):
        pass


class ClosedLate(OnlineConvolution):
    """A block is closed one token after its end."""

    def _step(self, x):
        place = self.count % BLOCK
        if place == 1 and self.count > 1:
            self._close(self.count - 1)
        self._absorb(place, x)
        return self._rows[place].clone()


class NextTokenAhead(OnlineConvolution):
    """An input is added one output early."""

    def _absorb(self, place, x):
        super()._absorb(place, x)
        if place:
            self.block_sums[:, place - 1 :].addcmul_(self.near[: BLOCK - place + 1], x.unsqueeze(1))
            self.block_sums[:, place:].addcmul_(self.near[: BLOCK - place], -x.unsqueeze(1))


MUTANTS = (
    TapsReversed,
    BlockDropped,
    TileTooSmall,
    StaleSums,
    SumsOfThePromptLeft,
    ClosedLate,
    NextTokenAhead,
)


@pytest.mark.parametrize("num_taps", [1, 2, BLOCK, BLOCK + 1, BLOCK + 2, 3 * BLOCK, 10 * BLOCK])
def test_the_honest_one_passes(num_taps):
    assert largest_error(OnlineConvolution, num_taps) < ROUNDING


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_seen(mutant):
    assert max(largest_error(mutant, num_taps) for num_taps in (10 * BLOCK, 2 * BLOCK)) > 1e-3


@pytest.mark.parametrize("off", [-1, 1])
def test_a_tile_that_is_off_by_one_is_seen(off, monkeypatch):
    honest = tiles.tile_of

    def shifted(taps, size, *, backend):
        return honest(taps.roll(off, 1), size, backend=backend)

    monkeypatch.setattr(online, "tile_of", shifted)
    assert largest_error(OnlineConvolution, 10 * BLOCK) > 1e-3


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_ring_of_another_size(off, monkeypatch):
    """Half the ring drops lags; twice the ring only wastes memory."""
    honest = online.ring_places

    def resized(num_taps, longest):
        places = honest(num_taps, longest)
        return places // 2 if off < 0 else places * 2**off

    monkeypatch.setattr(online, "ring_places", resized)
    wrong = largest_error(OnlineConvolution, 10 * BLOCK) > 1e-3
    assert wrong is (off < 0)


@pytest.mark.parametrize("num_taps", [1, 2, 3, 7])
def test_the_short_one(num_taps):
    assert largest_error(ShortConvolution, num_taps) < ROUNDING


class NotCleared(ShortConvolution):
    def _step(self, x):
        place = self.count % len(self._lags)
        self._absorb(place, x)
        return self._rows[place].clone()


def test_a_short_mutant_is_seen():
    assert largest_error(NotCleared, 3) > 1e-3


@pytest.mark.parametrize("backend", ["reference", "spectral", "fused_cpu", None])
@pytest.mark.parametrize("size", [64, 128, 1024])
def test_a_tile_is_its_sum(size, backend, seed):
    torch.manual_seed(seed)
    taps, block = torch.randn(2, size + 5, dtype=torch.float64), torch.randn(3, size, 2, dtype=torch.float64)
    y = tiles.tile_of(taps, size, backend=backend)(block)
    lags = torch.zeros(2, 2 * size, dtype=torch.float64)
    lags[:, : size + 5] = taps
    k, m = torch.arange(size)[:, None], torch.arange(size)
    expected = torch.einsum("ckm,bmc->bkc", lags[:, k + m + 1], block.flip(1))
    assert worst_error(y, expected) < ROUNDING


@torch.no_grad()
def test_work_per_token_grows_like_the_logarithm_squared():
    """Counted as the transforms' n log n, of the tiles that are called in sequences of growing length."""

    def per_token(longest: int) -> float:
        state = OnlineConvolution(torch.randn(1, longest), batch=1, longest=longest)
        called = []
        for size, tile in state.tiles.items():
            state.tiles[size] = lambda block, size=size, tile=tile: called.append(size) or tile(block)
        for _ in range(longest):
            state.step(torch.zeros(1, 1))
        return sum(2 * size * (2 * size).bit_length() for size in called) / longest

    work = [per_token(2**n) for n in range(8, 13)]
    first = [b - a for a, b in pairwise(work)]
    second = [b - a for a, b in pairwise(first)]
    assert all(0.9 < step < 1.1 for step in second)  # a parabola in log L
