"""Free taps as they start: unit norm, and for "decay" a window that is near in the first channel, far in the last."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.filters import FreeTaps


@given(
    channels=st.integers(1, 40),
    num_taps=st.integers(1, 300),
    init=st.sampled_from(["decay", "flat"]),
    circular=st.booleans(),
)
def test_every_channel_starts_with_unit_norm(device, channels, num_taps, init, circular):
    with torch.device(device):
        taps = FreeTaps(channels, num_taps, init=init, circular=circular)()
    assert taps.device.type == torch.device(device).type
    assert taps.shape == (channels, num_taps)
    torch.testing.assert_close(taps.norm(dim=1), torch.ones(channels, device=device))


def energy_by_lag(*, init, circular):
    """Mean square of 512 lags in the first, middle and last of the channels, over many filters."""
    squares = torch.stack([FreeTaps(3, 512, init=init, circular=circular)() ** 2 for _ in range(200)])
    return squares.detach().mean(dim=0)


def test_decay_reaches_from_the_next_neighbour_to_the_whole_sequence():
    first, middle, last = energy_by_lag(init="decay", circular=False)
    assert first[:4].sum() > 0.99
    assert middle[:64].sum() > 0.9
    assert middle[4:64].sum() > 0.5
    assert last[256:].sum() > 0.1


def test_flat_prefers_no_lag():
    for channel in energy_by_lag(init="flat", circular=False):
        assert 0.4 < channel[:256].sum() < 0.6


def test_circular_decay_is_near_on_both_sides():
    first, middle, _ = energy_by_lag(init="decay", circular=True)
    assert first[1] > 0.01
    assert 0.5 < first[1] / first[-1] < 2
    assert 0.8 < middle[1:64].sum() / middle[-63:].sum() < 1.25


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(InputError, match="decay"):
        FreeTaps(4, 8, init="decya")  # type: ignore[arg-type]
