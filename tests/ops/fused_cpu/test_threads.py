"""The threads that work off a call: at once, and wherever they may be."""

import ctypes
import multiprocessing
import sys
import threading

import pytest
import torch

from globalconv.ops import global_conv
from globalconv.ops.fused_cpu import threads


@pytest.fixture(params=["PyTorch's threads", "Python's threads"])
def two_threads(request, monkeypatch):
    if request.param == "Python's threads":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("this PyTorch is not linked with OpenMP")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' wheels may be linked otherwise")
def test_pytorchs_threads_are_found():
    assert threads._openmp() is not None


@pytest.mark.parametrize("shares", [1, 2])
def test_shares_are_worked_off_at_once(two_threads, shares):
    """Each waits for the others: one thread after the other would wait for ever."""
    together, seen = threading.Barrier(shares), []

    @ctypes.CFUNCTYPE(None, ctypes.c_ssize_t)
    def work(argument):
        together.wait(30)
        seen.append((argument, threading.get_ident()))

    threads.together(ctypes.cast(work, ctypes.c_void_p).value, 42, shares)
    assert [argument for argument, _ in seen] == [42] * shares
    idents = {ident for _, ident in seen}
    assert len(idents) == shares
    assert threading.get_ident() in idents


@pytest.mark.parametrize("mode", ["circular", "causal", "bidirectional"])
def test_two_threads_compute_what_one_does(two_threads, mode, generator):
    x = torch.randn(3, 300, 200, generator=generator, requires_grad=True)
    taps = torch.randn(200, 299 if mode == "bidirectional" else 300, generator=generator, requires_grad=True)

    def both_ways():
        y = global_conv(x, taps, mode=mode, backend="fused_cpu")
        return y, *torch.autograd.grad(y.square().sum(), (x, taps))

    got = both_ways()
    torch.set_num_threads(1)
    for two, one in zip(got, both_ways(), strict=True):
        torch.testing.assert_close(two, one)


def put_sum(results, x, taps) -> None:
    y = global_conv(x, taps, mode="causal", backend="fused_cpu")
    results.put(float(y.numpy().sum(dtype=float)))  # not by PyTorch, which would wait for its threads


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_that_are_gone(generator):
    x, taps = torch.randn(4, 512, 256, generator=generator), torch.randn(256, 512, generator=generator)
    forking = multiprocessing.get_context("fork")
    before, results = torch.get_num_threads(), forking.SimpleQueue()
    torch.set_num_threads(2)
    try:
        # On threads that the child will not have.
        y = global_conv(x, taps, mode="causal", backend="fused_cpu")
        child = forking.Process(target=put_sum, args=(results, x, taps), daemon=True)
        child.start()
        child.join(60)
        hangs = child.is_alive()
        child.kill()
    finally:
        torch.set_num_threads(before)
    assert not hangs
    assert results.get() == pytest.approx(float(y.numpy().sum(dtype=float)))
