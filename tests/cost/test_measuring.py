"""Curves of seconds that grow in turns, stop in time and say why."""

import pytest

from globalconv.cost import measure_cost
from globalconv.errors import InputError

SLOW = """
import time
from globalconv.mixers import GlobalConv

class Sleeps(GlobalConv):
    def forward(self, x):
        time.sleep(x.shape[1] / 400)
        return super().forward(x)
"""


def test_every_mixer_gets_a_growing_curve():
    lengths = [16, 64, 2048]
    curves = measure_cost(
        {"ours": "global_conv", "theirs": "attention"}, lengths, width=16, causal=True, seconds=600
    )
    assert [curve.mixer for curve in curves] == ["ours", "theirs"]
    for curve in curves:
        assert curve.stopped is None
        assert [t.length for t in curve.timings] == lengths
        assert all(0 < t.low <= t.median <= t.high for t in curve.timings)
        assert curve.timings[-1].median > curve.timings[0].median


def test_a_curve_stops_and_says_why_while_the_others_go_on(tmp_path, monkeypatch):
    """The slow one sleeps 0.2 s at length 80, so 20 s or more are to be expected at 800."""
    (tmp_path / "sleeps.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    mixers = {"quick": "global_conv", "slow": "sleeps:Sleeps"}
    lengths = [40, 80, 800]
    quick, slow = measure_cost(mixers, lengths, width=4, causal=False, seconds=60, repetitions=2)
    assert quick.stopped is None
    assert [t.length for t in quick.timings] == lengths
    assert [t.length for t in slow.timings] == [40, 80]
    assert slow.stopped == "length 800 would have exceeded its 30 s of measuring time"
    assert slow.timings[1].low >= 0.2


def test_no_time_still_gives_a_first_point():
    (curve,) = measure_cost({"a": "attention"}, [8, 16, 32], width=8, causal=False, seconds=1e-6)
    assert [t.length for t in curve.timings] == [8]
    assert curve.stopped is not None
    assert "length 16" in curve.stopped


def test_too_few_repetitions_are_refused():
    with pytest.raises(InputError, match="at least 2"):
        measure_cost({"a": "attention"}, [8], width=8, causal=False, seconds=1, repetitions=1)
