"""The question's own formula, and the filters of others."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.ops import (
    available_backends,
    bidirectional_from_causal,
    conv1d_from_taps,
    correlation_from_taps,
    global_conv,
    taps_from_conv1d,
    taps_from_correlation,
)

seeds = st.integers(0, 2**31 - 1)


@pytest.mark.parametrize(
    "backend", [status.name for status in available_backends() if status.obstacle is None]
)
@given(length=st.integers(1, 17), width=st.integers(1, 3), seed=seeds)
def test_the_question_literally(backend, length, width, seed):
    """y[t] = sum over t' of W[t'] x[(t' + t) mod L], for each channel, in float64."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(width, length, generator=generator, dtype=torch.float64)
    x = torch.randn(1, length, width, generator=generator, dtype=torch.float64)
    y = global_conv(x, taps_from_correlation(weights), mode="circular", backend=backend)
    for channel in range(width):
        for t in range(length):
            expected = sum(
                float(weights[channel, t_] * x[0, (t_ + t) % length, channel]) for t_ in range(length)
            )
            # 17 terms of order 1, and an FFT of 17 points: a few hundred units of 1e-16 at the most.
            assert float(y[0, t, channel]) == pytest.approx(expected, rel=0, abs=1e-12)


@given(length=st.integers(1, 12), missing=st.integers(0, 11), seed=seeds)
def test_correlation_there_and_back(length, missing, seed):
    taps = torch.randn(2, max(1, length - missing), generator=torch.Generator().manual_seed(seed))
    full = F.pad(taps, (0, length - taps.shape[1]))
    weights = correlation_from_taps(taps, length=length)
    for s in range(length):
        assert torch.equal(weights[:, -s % length], full[:, s])
    assert torch.equal(taps_from_correlation(weights), full)


@pytest.mark.parametrize("mode", ["circular", "causal", "bidirectional"])
@given(length=st.integers(4, 12), reach=st.integers(1, 4), width=st.integers(1, 3), seed=seeds)
def test_conv1d(mode, length, reach, width, seed):
    num_taps = 2 * reach - 1 if mode == "bidirectional" else reach
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(width, 1, num_taps, generator=generator, dtype=torch.float64)
    x = torch.randn(2, length, width, generator=generator, dtype=torch.float64)
    sides = (reach - 1, reach - 1) if mode == "bidirectional" else (reach - 1, 0)
    padded = F.pad(x.mT, sides, mode="circular" if mode == "circular" else "constant")
    expected = F.conv1d(padded, weight, groups=width).mT
    taps = taps_from_conv1d(weight)
    torch.testing.assert_close(global_conv(x, taps, mode=mode), expected)
    assert torch.equal(conv1d_from_taps(taps), weight)


@given(num_taps=st.integers(1, 9), length=st.integers(1, 9), seed=seeds)
def test_bidirectional_from_causal(num_taps, length, seed):
    generator = torch.Generator().manual_seed(seed)
    taps = torch.randn(1, num_taps, generator=generator, dtype=torch.float64)
    x = torch.randn(2, length, 3, generator=generator, dtype=torch.float64)
    both = global_conv(x, bidirectional_from_causal(taps), mode="bidirectional")
    torch.testing.assert_close(both, global_conv(x, taps, mode="causal"))


def test_errors_name_the_fix():
    with pytest.raises(InputError, match=r"taps\[:, :3\]"):
        correlation_from_taps(torch.ones(2, 4), length=3)
    with pytest.raises(InputError, match="groups=width"):
        taps_from_conv1d(torch.ones(4, 2, 3))
    for convert in (taps_from_correlation, bidirectional_from_causal, conv1d_from_taps):
        with pytest.raises(InputError, match=r"\(channels, num_taps\)"):
            convert(torch.ones(4))
        with pytest.raises(InputError, match="none of them 0"):
            convert(torch.ones(4, 0))
