"""What is left of a call: of whatever size it was, no more than a bound."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.ops import global_conv
from globalconv.ops.fused_cpu import launch, spectra
from globalconv.ops.fused_cpu.kept import Kept


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60), st.booleans()), max_size=40))
def test_those_used_last_are_kept_as_far_as_they_fit(steps):
    kept: Kept[int] = Kept(100)
    by_use: list[tuple[int, int]] = []  # the last one first
    for key, nbytes, put in steps:
        known = [one for one in by_use if one[0] == key]
        if put:
            kept.put(key, nbytes, nbytes)
            by_use = [(key, nbytes), *(one for one in by_use if one[0] != key)]
            while sum(size for _, size in by_use) > 100:
                by_use.pop()
        else:
            assert kept.get(key) == (known[0][1] if known else None)
            by_use = known + [one for one in by_use if one[0] != key]
        assert kept.nbytes == sum(size for _, size in by_use) <= 100


def test_the_newest_is_kept_whatever_its_size():
    """Or a call with a plan that is too large would make it anew each time."""
    kept: Kept[int] = Kept(100)
    kept.put("small", 1, 1)
    kept.put("large", 2, 1000)
    assert (kept.get("small"), kept.get("large")) == (None, 2)
    kept.put("small", 3, 1)
    assert (kept.get("small"), kept.get("large"), kept.nbytes) == (3, None, 1)


def left() -> int:
    return launch._plans.nbytes + launch._spectra._kept.nbytes + sum(map(len, launch._scratches))


def test_long_calls_of_many_threads_leave_what_is_bounded(monkeypatch):
    bounds = {"PLANS_BYTES": 1 << 19, "SCRATCH_BYTES": 1 << 20}
    for name, value in bounds.items():
        monkeypatch.setattr(launch, name, value)
    monkeypatch.setattr(spectra, "MOST_BYTES", 1 << 22)
    monkeypatch.setattr(launch, "_plans", Kept(launch.PLANS_BYTES))
    monkeypatch.setattr(launch, "_spectra", launch.Spectra())
    monkeypatch.setattr(launch, "_scratches", [])

    def work(seed: int) -> None:
        for length in (200, 8000 + 64 * seed, 24000 + 1000 * seed):
            x, taps = torch.randn(2, length, 16), torch.randn(16, length)
            with torch.no_grad():
                global_conv(x, taps, mode="circular", backend="fused_cpu")
            y = global_conv(x.requires_grad_(), taps.requires_grad_(), mode="circular", backend="fused_cpu")
            y.sum().backward()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < left() <= sum(bounds.values()) + (launch.MOST_SCRATCHES - 1) * launch.SCRATCH_BYTES + (1 << 22)


def test_a_filters_gradient_is_written_where_it_stays(generator, monkeypatch):
    """It is as large as the filter, and with long filters that is most of what a call takes."""
    x, taps = torch.randn(1, 64, 32, generator=generator), torch.randn(32, 64, generator=generator)
    written, init = [], launch._Call.__init__
    monkeypatch.setattr(
        launch._Call, "__init__", lambda call, *given: written.append(given[-1]) or init(call, *given)
    )
    wanted = [False, True, False, False, False]
    _, dtaps, *_ = launch.differentiate(x, taps, None, None, None, x, "causal", wanted)
    assert dtaps.data_ptr() == written[0].data_ptr()


PROGRAM = """
import gc, torch
from globalconv import global_conv

def megabytes():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

def run(length):
    x, taps = torch.randn(1, length, 16), torch.randn(16, length)
    with torch.no_grad():
        global_conv(x, taps, mode="causal", backend="fused_cpu")
    y = global_conv(x.requires_grad_(), taps.requires_grad_(), mode="causal", backend="fused_cpu")
    y.sum().backward()

run(4096)
before = megabytes()
run(2**18 + 1)
run(4096)
print(megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_process_shrinks_after_a_long_call():
    """Where the allocator gives back what is freed, which it does by itself with larger pieces only."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert float(ended.stdout) < 34  # of 200: what it was given
