"""Free taps as they start: unit norm, and for "decay" a window that is near in the first channel, far in the last."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.ops import global_conv
from globalconv.ops.conventions import taps_for
from globalconv.ops.interface import MODES
from tests.mixers.ambient import default_dtype


@given(
    channels=st.integers(1, 40),
    length=st.integers(1, 300),
    init=st.sampled_from(["decay", "flat"]),
    mode=st.sampled_from(MODES),
)
def test_every_channel_starts_with_unit_norm(device, channels, length, init, mode):
    with torch.device(device):
        taps = FreeTaps(channels, length, init=init, mode=mode)(length)
    assert taps.device.type == torch.device(device).type
    assert taps.shape == (channels, taps_for(length, mode))
    torch.testing.assert_close(taps.norm(dim=1), torch.ones(channels, device=device))


def energy_by_tap(*, init, mode):
    """Mean square of 512 lags in the first, middle and last of the channels, over many filters."""
    squares = torch.stack([FreeTaps(3, 512, init=init, mode=mode)(512) ** 2 for _ in range(200)])
    return squares.detach().mean(dim=0)


def test_decay_reaches_from_the_next_neighbour_to_the_whole_sequence():
    first, middle, last = energy_by_tap(init="decay", mode="causal")
    assert first[:4].sum() > 0.99
    assert middle[:64].sum() > 0.9
    assert middle[4:64].sum() > 0.5
    assert last[256:].sum() > 0.1


def test_flat_prefers_no_lag():
    for channel in energy_by_tap(init="flat", mode="causal"):
        assert 0.4 < channel[:256].sum() < 0.6


def test_circular_decay_is_near_on_both_sides():
    first, middle, _ = energy_by_tap(init="decay", mode="circular")
    assert first[1] > 0.01
    assert 0.5 < first[1] / first[-1] < 2
    assert 0.8 < middle[1:64].sum() / middle[-63:].sum() < 1.25


def test_bidirectional_decay_is_near_on_both_sides_of_lag_0():
    """Each side as a causal filter's: from the next neighbour to the whole sequence."""
    first, middle, last = energy_by_tap(init="decay", mode="bidirectional")
    for side in (slice(511, None), slice(None, 512)):
        assert 0.4 < first[side][:4].sum() + first[side][-4:].sum() < 1.1
        assert 0.4 < middle[side].sum() < 0.6
    assert first[507:516].sum() > 0.99
    assert middle[447:576].sum() > 0.9
    assert last[:256].sum() + last[-256:].sum() > 0.1


def test_the_identity_starts_at_lag_0():
    x = torch.randn(2, 9, 3)
    for mode in MODES:
        taps = FreeTaps(3, 9, init="identity", mode=mode)(9)
        torch.testing.assert_close(global_conv(x, taps, mode=mode), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("mode", MODES)
def test_taps_are_those_of_float32_rounded_whatever_the_default(mode, dtype, seed):
    """100,000 lags are beyond the largest number of float16, and below 1 lag the window has no digits left."""

    def drawn():
        torch.manual_seed(seed)
        return FreeTaps(3, 100_000, mode=mode)(100_000)

    right = drawn()
    with default_dtype(dtype):
        taps = drawn()
    assert taps.dtype == dtype
    assert torch.equal(taps, right.to(dtype))


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(InputError, match="decay"):
        FreeTaps(4, 8, init="decya")  # type: ignore[arg-type]
