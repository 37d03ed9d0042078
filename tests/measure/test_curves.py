"""Curves of seconds that grow side by side, stop in time and say why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.measure.curves import Subject, grow_curves, measure_cost

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
    *_, curves = measure_cost(
        {"ours": "global_conv", "theirs": "attention"}, lengths, width=16, causal=True, seconds=600
    )
    assert [curve.mixer for curve in curves] == ["ours", "theirs"]
    for curve in curves:
        assert curve.stopped is None
        assert [t.length for t in curve.points] == lengths
        assert all(0 < t.low <= t.seconds <= t.high for t in curve.points)
        assert curve.points[-1].seconds > curve.points[0].seconds


def test_a_curve_stops_and_says_why_while_the_others_go_on(tmp_path, monkeypatch):
    """The slow one sleeps 0.2 s at length 80, so 20 s or more are to be expected at 800."""
    (tmp_path / "sleeps.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    mixers = {"quick": "global_conv", "slow": "sleeps:Sleeps"}
    lengths = [40, 80, 800]
    *_, (quick, slow) = measure_cost(mixers, lengths, width=4, causal=False, seconds=60, repetitions=2)
    assert quick.stopped is None
    assert [t.length for t in quick.points] == lengths
    assert [t.length for t in slow.points] == [40, 80]
    assert slow.stopped.startswith("length 800 would have exceeded its 2")
    assert slow.stopped.endswith(" s of measuring time")
    assert slow.points[1].low >= 0.2


def test_no_time_still_gives_a_first_point():
    *_, (curve,) = measure_cost({"a": "attention"}, [8, 16, 32], width=8, causal=False, seconds=1e-6)
    assert [t.length for t in curve.points] == [8]
    assert curve.stopped is not None
    assert "length 16" in curve.stopped


def test_too_few_repetitions_are_refused():
    with pytest.raises(InputError, match="at least 2"):
        list(measure_cost({"a": "attention"}, [8], width=8, causal=False, seconds=1, repetitions=1))


def subject(seconds, clock, *, needs=None, log=None):
    """What takes ``seconds(length)`` by a clock that only it moves."""

    def prepare(length):
        def call():
            clock.now += seconds(length)
            if log is not None:
                log.append(length)

        return call

    return Subject(prepare, lambda length: needs and needs(length))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def grown(subjects, lengths, clock, **options):
    *_, curves = grow_curves(subjects, lengths, clock=clock, **options)
    return curves


def test_points_are_the_seconds_of_a_call_and_are_interleaved():
    clock, log = Clock(), []
    subjects = {"a": subject(lambda n: n / 100, clock, log=log), "b": subject(lambda n: n / 50, clock)}
    a, b = grown(subjects, [10, 20], clock, seconds=100, repetitions=3)
    assert [t.seconds for t in a.points] == pytest.approx([0.1, 0.2])
    assert [t.seconds for t in b.points] == pytest.approx([0.2, 0.4])
    assert log == [10] * 5 + [20] * 5  # one for the memory, one for the number of calls, three rounds


def test_what_is_too_short_for_the_clock_is_called_many_times():
    clock, log = Clock(), []
    (a,) = grown({"a": subject(lambda _: 1e-5, clock, log=log)}, [8], clock, seconds=1, repetitions=2)
    assert a.points[0].seconds == pytest.approx(1e-5)
    assert len(log) == 2 + 2 * 100


@given(share=st.floats(1, 50))
def test_no_curve_exceeds_its_share_by_more_than_its_first_point(share):
    clock = Clock()
    (a,) = grown(
        {"a": subject(lambda n: 1e-3 * n**2, clock)},
        [1, 2, 4, 8, 16, 32, 64],
        clock,
        seconds=share,
        repetitions=5,
    )
    assert clock.now <= share * 1.01
    assert (a.stopped is None) == (len(a.points) == 7)


def test_what_one_curve_does_not_use_the_others_get():
    """Both have 7 s at first; the slow one soon ends, and the quick one, after 2.8, wants 6.4 for its last point."""
    clock = Clock()
    subjects = {"quick": subject(lambda n: n / 10, clock), "slow": subject(lambda n: n / 2.5, clock)}
    quick, slow = grown(subjects, [1, 2, 4, 8], clock, seconds=14, repetitions=2)
    assert len(slow.points) == 1
    assert len(quick.points) == 4
    assert clock.now <= 14


def test_a_curve_that_would_not_fit_into_memory_ends_and_says_what_it_needs():
    clock = Clock()
    subjects = {
        "small": subject(lambda _: 0.1, clock),
        "large": subject(lambda _: 0.1, clock, needs=lambda n: n * 1e6),
    }
    small, large = grown(subjects, [1, 2, 4], clock, seconds=100, memory=2.5e6, repetitions=2)
    assert len(small.points) == 3
    assert len(large.points) == 2
    assert large.stopped == "length 4 would have needed about 4.00 MB of 2.50 MB"
    assert small.stopped is None


def test_where_nothing_fits_every_curve_says_so():
    (a,) = grown(
        {"a": subject(lambda _: 0.1, Clock(), needs=lambda _: 2.0)}, [1], Clock(), seconds=1, memory=1.0
    )
    assert a.points == []
    assert "needed" in a.stopped


def test_a_call_of_several_parts_is_measured_by_the_part_and_budgeted_whole():
    clock = Clock()
    whole = subject(lambda n: n**2, clock)
    parts = Subject(whole.prepare, parts=lambda n: n)
    (a,) = grown({"a": parts}, [2, 4, 8], clock, seconds=4 * 4 + 4 * 16, repetitions=2)
    assert [t.seconds for t in a.points] == [2, 4]  # the third would take 4 calls of 64 seconds
    assert a.stopped is not None
