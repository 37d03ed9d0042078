"""Interleaved timing, ratios, the roofline and the budget, by a clock that the tests set."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from globalconv.measure import allocator, roofline
from globalconv.measure.bench import measuring
from globalconv.measure.bench.implementation import bytes_to_move, flops_to_compute, least_seconds, problem_of
from globalconv.measure.bench.measuring import TOO_SLOW, Pace, affordable
from globalconv.measure.bench.peers import peers
from globalconv.measure.bench.request import BenchRequest
from globalconv.measure.case import Case
from globalconv.measure.interleaved import FEWEST_ROUNDS, interleaved, ratio, seconds, spread
from globalconv.measure.roofline import Speeds
from globalconv.ops.flops import spectral_flops

CASE = Case("forward", "causal", gated=False, threads=1, batch=8, width=256, length=1024)
SPEEDS = Speeds(1, 1e10, 1e11)
REQUEST = BenchRequest(
    (8, 16), (64,), elements=2**10, rounds=2, backend="spectral", peers=("torch_dim1",), modes=("causal",)
)


class Clock:
    """Shows the time that the test says."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, duration):
        self.now += duration
        return duration


def test_rounds_alternate_and_the_warm_up_is_not_kept():
    order, numbers = [], itertools.count()

    def measured(name):
        order.append(name)
        return float(next(numbers))

    kept = interleaved({name: lambda name=name: measured(name) for name in "abc"}, rounds=3)
    rounds = ["".join(order[i : i + 3]) for i in range(0, 12, 3)]
    assert rounds == ["abc", "cba", "abc", "cba"]
    assert kept == {"a": [5.0, 6.0, 11.0], "b": [4.0, 7.0, 10.0], "c": [3.0, 8.0, 9.0]}


@pytest.mark.parametrize(
    ("rounds", "within", "done"), [(9, 100, 9), (9, 21, 7), (9, 1, FEWEST_ROUNDS), (3, 1, 3)]
)
def test_rounds_end_in_time_but_not_before_the_fewest_rounds(rounds, within, done):
    clock = Clock()
    measures = {"a": lambda: clock.sleep(1.0), "b": lambda: clock.sleep(2.0)}
    kept = interleaved(measures, rounds=rounds, warm_up=False, within=within, clock=clock)
    assert kept == {"a": [1.0] * done, "b": [2.0] * done}


def test_seconds_are_those_of_the_clock():
    clock = Clock()
    assert seconds(lambda: clock.sleep(3.5), clock=clock) == 3.5


def test_a_ratio_and_its_quartiles_are_of_the_rounds():
    found = ratio([2.0, 4.0, 6.0, 8.0, 30.0], [1.0, 2.0, 2.0, 4.0, 5.0])
    assert (found.median, found.low, found.high) == (2.0, 2.0, 3.0)
    assert spread([1.0, 2.0]).median == 1.5


def test_the_roofline_counts_what_must_be_moved_and_computed():
    numbers = 8 * 1024 * 256
    assert bytes_to_move(CASE) == 4 * (2 * numbers + 256 * 1024)
    assert bytes_to_move(replace(CASE, phase="training")) == 4 * (5 * numbers + 3 * 256 * 1024)
    assert bytes_to_move(replace(CASE, gated=True)) == 4 * (4 * numbers + 256 * 1025)
    assert bytes_to_move(replace(CASE, gated=True, phase="training")) == 4 * (11 * numbers + 3 * 256 * 1025)
    flops = 8 * spectral_flops(1024, 256, wrapped=False)
    assert flops_to_compute(CASE) == flops
    assert flops_to_compute(replace(CASE, phase="training")) == 2 * flops
    # At length 2 the direct sum has fewer.
    assert flops_to_compute(replace(CASE, length=2)) == 8 * 2 * 2 * 2 * 256


def test_the_roofline_is_the_longer_of_the_two():
    memory, arithmetic = bytes_to_move(CASE), flops_to_compute(CASE)
    assert least_seconds(CASE, Speeds(1, 1e9, 1e15)) == memory / 1e9
    assert least_seconds(CASE, Speeds(1, 1e15, 1e9)) == arithmetic / 1e9


def test_speeds_are_the_best_of_what_the_clock_showed(monkeypatch):
    times = itertools.chain([4.0, 2.0, 3.0], [0.5, 0.25, 1.0])
    monkeypatch.setattr(roofline, "REPETITIONS", 3)
    monkeypatch.setattr(roofline, "COPIED_NUMBERS", 1000)
    monkeypatch.setattr(roofline, "MATRIX_SIDE", 10)
    monkeypatch.setattr(roofline, "seconds", lambda call: (call(), next(times))[1])
    assert roofline.measure_speeds(2) == Speeds(2, 2 * 4 * 1000 / 2.0, 2 * 10**3 / 0.25)


def test_the_cheapest_peers_are_kept_and_the_baseline_always():
    expected = {"slow": 10.0, "baseline": 2.0, "cheap": 1.0, "fair": 3.0}
    calls = FEWEST_ROUNDS + 1
    for share, kept in ((100 * calls, 4), (6 * calls, 3), (3 * calls, 2), (0.0, 1)):
        names = affordable(expected, first="baseline", share=share, rounds=9)
        assert names == [name for name in expected if name in ["baseline", "cheap", "fair", "slow"][:kept]]


def test_the_pace_of_a_longer_case_is_told_from_a_shorter_one():
    peer = next(peer for peer in peers() if peer.name == "conv1d")
    pace, longer = Pace(), replace(CASE, length=2048, batch=4)
    unseen = pace.expected(peer, CASE, SPEEDS)
    assert unseen == pytest.approx(measuring.FIRST_GUESS * peer.operations(CASE) / SPEEDS.flops_per_second)
    pace.note(peer, CASE, 3.0)
    assert pace.expected(peer, longer, SPEEDS) == pytest.approx(6.0)
    assert pace.expected(peer, replace(CASE, phase="training"), SPEEDS) == pytest.approx(9.0)


@pytest.fixture
def quick_speeds(monkeypatch):
    monkeypatch.setattr(measuring, "measure_speeds", lambda threads: replace(SPEEDS, threads=threads))


def measured(request, known=None, **options):
    return list(measuring.measure(request, request.cases(), known or request.implementations(), **options))


def test_a_row_for_every_implementation_in_every_case(quick_speeds):
    request = replace(REQUEST, gated=True)
    found = measured(request)
    assert [{row.case for row in one.rows} for one in found] == [{case} for case in request.cases()]
    for one in found:
        assert {row.subject for row in one.rows} == {"spectral", "torch_dim1"}
        for row in one.rows:
            assert row.baseline == "spectral"
            assert row.rounds == 2
            assert row.ms_low <= row.ms <= row.ms_high
            assert row.error < 1e-6
            assert row.roofline_ms == pytest.approx(1e3 * least_seconds(row.case, SPEEDS), rel=1e-3)
        (own,) = (row for row in one.rows if row.subject == "spectral")
        assert own.ratio == own.ratio_low == own.ratio_high == 1.0


def test_a_spent_budget_ends_it_after_at_least_one_case(quick_speeds):
    ticks = itertools.count(step=140)
    assert len(measured(replace(REQUEST, budget_seconds=300), clock=lambda: float(next(ticks)))) == 2
    ticks = itertools.count(step=400)
    (only,) = measured(replace(REQUEST, budget_seconds=300), clock=lambda: float(next(ticks)))
    assert {row.subject for row in only.rows} >= {"spectral"}


def test_a_slow_peer_is_left_out_before_it_is_called(quick_speeds):
    known = REQUEST.implementations()
    known["torch_dim1"] = replace(known["torch_dim1"], operations=lambda _: 1e18, prepare=None)
    for one in measured(REQUEST, known):
        assert [(left.subject, left.why) for left in one.left_out] == [("torch_dim1", TOO_SLOW)]


def test_a_peer_that_fails_is_left_out_and_named_without_paths(quick_speeds):
    def broken(_):
        raise RuntimeError("no symbol in /home/somebody/lib/fft.so")

    known = REQUEST.implementations()
    known["torch_dim1"] = replace(known["torch_dim1"], prepare=broken)
    for one in measured(REQUEST, known):
        (left,) = one.left_out
        assert left.why == "it failed, RuntimeError: no symbol in fft.so"
    known["spectral"] = replace(known["spectral"], prepare=broken)
    with pytest.raises(RuntimeError):
        measured(REQUEST, known)


def test_an_error_is_seen():
    """The check of the results itself, on one that is wrong: causal taken for circular, or a gradient doubled."""
    problem = problem_of(replace(CASE, length=32, batch=1, width=8, phase="training"), seed=0)
    exact = measuring._exact(problem)
    assert {name for name, tensor in exact.items() if tensor.ndim == 3} == {"y", "x"}
    right = {name: tensor.float() for name, tensor in exact.items()}
    assert measuring._error(right, exact) < 1e-6
    assert measuring._error(right | {"x": 2 * right["x"]}, exact) == pytest.approx(1.0, rel=1e-5)
    circular = measuring._exact(replace(problem, case=replace(problem.case, mode="circular")))
    assert measuring._error(circular, exact) > 0.1
    assert measuring._error({}, exact) is None


@pytest.mark.parametrize(
    ("tunables", "regime"),
    [
        ("", "default"),
        (allocator.TUNABLES, "tuned"),
        ("glibc.malloc.mmap_threshold=0x100000000:glibc.malloc.trim_threshold=4294967296", "tuned"),
        ("glibc.malloc.mmap_threshold=4294967296", "default"),
        ("glibc.malloc.mmap_threshold=1000:glibc.malloc.trim_threshold=1000", "default"),
        ("glibc.malloc.mmap_threshold=large:nonsense", "default"),
    ],
)
def test_the_allocators_regime_is_told_from_the_environment(tunables, regime, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    assert allocator.allocator() == regime


def test_numbers_of_threads_are_set_and_measured_one_after_the_other(quick_speeds, monkeypatch):
    asked = []
    monkeypatch.setattr(measuring, "torch", SimpleNamespace(set_num_threads=asked.append))
    request = replace(REQUEST, threads=(1, 2), backward=False)
    monkeypatch.setattr("globalconv.measure.bench.request.usable_cores", lambda: 2)
    found = measured(request)
    assert asked == [1, 2]
    assert [one.speeds.threads for one in found] == [1, 1, 2, 2]
    assert torch.get_num_threads() == 1
