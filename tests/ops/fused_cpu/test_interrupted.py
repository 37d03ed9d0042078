"""A call owns what it works with: one that interrupts it anywhere, on the same thread, harms neither.

Signal handlers and finalisers run between any two lines. So does a tracer, which is told of each: in a process of
its own, as what goes wrong here ends processes.
"""

import os
import subprocess
import sys

import pytest

PREPARED = """
import faulthandler, os, signal, sys
from pathlib import Path
import torch
from globalconv.ops import fused_cpu, global_conv

faulthandler.dump_traceback_later(250, exit=True)
torch.set_num_threads(1)
torch.manual_seed(0)
HERE = str(Path(fused_cpu.__file__).parent)


def both_ways(x, taps):
    with torch.enable_grad():
        y = global_conv(x, taps, mode="causal", backend="fused_cpu")
        return y.detach(), *torch.autograd.grad(y.square().sum(), (x, taps))


def kept(x, taps):
    with torch.no_grad():
        return (global_conv(x, taps, mode="causal", backend="fused_cpu"),)


def operands(length, width):
    return torch.randn(2, length, width).requires_grad_(), torch.randn(width, length).requires_grad_()


problem, others = operands(256, 32), [operands(length, 16) for length in (64, 256, 300, 1000)]
right = {way: way(*problem) for way in (both_ways, kept)}
rights = {way: [way(*other) for other in others] for way in (both_ways, kept)}


def same(got, expected):
    return all(map(torch.equal, got, expected))


def interrupted_everywhere(interrupt, way):
    '''The lines of the package in which ``way`` was interrupted, once each.'''
    seen = set()

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in seen:
            seen.add(place)
            sys.settrace(None)
            interrupt(len(seen))
            sys.settrace(trace)
        return trace

    def nothing_kept():
        from globalconv.ops.fused_cpu import launch, spectra
        launch._scratches.clear()
        launch._spectra = spectra.Spectra()
        launch._plans._entries = {}

    nothing_kept()
    for _ in range(2):  # with nothing that is kept, and with all of it
        sys.settrace(trace)
        got = way(*problem)
        sys.settrace(None)
        assert same(got, right[way]), way
    assert len(seen) > 50, len(seen)
"""

NESTED = """
def interrupt(number):
    length = 1100 + 20 * number  # longer than any before: memory that is shared would move
    longer = torch.randn(1, length, 16), torch.randn(16, length)
    y = kept(*longer)[0]
    if number % 8 == 0:
        expected = global_conv(*longer, mode="causal", backend="spectral")
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)
    which = number % len(others)
    assert same(both_ways(*others[which]), rights[both_ways][which])
    assert same(kept(*problem), right[kept])

for way in (both_ways, kept):
    interrupted_everywhere(interrupt, way)
"""

FORKED = """
def interrupt(number):
    if number % 3:
        return
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if same(both_ways(*problem), right[both_ways]) and same(kept(*others[0]), rights[kept][0]) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, number

interrupted_everywhere(interrupt, kept)
"""

SIGNALS = """
import random, time
inside, hits = False, 0

def handler(*_):
    global inside, hits
    if inside:
        return
    inside = True
    which = hits % len(others)
    way = (both_ways, kept)[hits // len(others) % 2]
    assert same(way(*others[which]), rights[way][which])
    hits += 1
    inside = False
    signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.002 * random.random())

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001)
end = time.monotonic() + 30
while hits < 80 and time.monotonic() < end:
    for way in (both_ways, kept):
        assert same(way(*problem), right[way])
signal.setitimer(signal.ITIMER_REAL, 0)
assert hits >= 20
"""

AT_EXIT = """
import atexit

class Last:
    def __del__(self):
        global_conv(*operands(512, 64), mode="causal", backend="fused_cpu")

last = Last()
last.itself = last  # collected, not counted down
from globalconv.ops.fused_cpu import threads
threads._openmp = lambda: None  # with Python's threads, of which there are no new ones by then
torch.set_num_threads(2)
large = torch.randn(4, 512, 256), torch.randn(256, 512)
expected = global_conv(*large, mode="causal", backend="fused_cpu")
threads._pool.cache_clear()
done = []

@atexit.register
def check():
    assert torch.equal(global_conv(*large, mode="causal", backend="fused_cpu"), expected)
    print("computed", flush=True)
"""

PROGRAMS = {"nested": NESTED, "forked": FORKED, "signals": SIGNALS, "at exit": AT_EXIT}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="neither forks nor timers on this system")
@pytest.mark.parametrize("way", PROGRAMS)
def test_a_call_within_a_call(way):
    program = PREPARED + PROGRAMS[way]
    environment = os.environ | {
        "MALLOC_MMAP_THRESHOLD_": "65536"
    }  # memory that is freed is gone, and not only reused
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    if way == "at exit":
        assert "computed" in ended.stdout
