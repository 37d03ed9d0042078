"""What the laws of the operator do not ask: large sizes, threads, forks, memory, torch's own checks."""

import copy
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import library

from globalconv.ops import Mode, global_conv
from globalconv.ops.fused_cpu.operator import OPERATIONS
from globalconv.ops.interface import MODES
from tests.ops.laws import dense


def operands(mode: Mode, batch: int, length: int, width: int, dtype=torch.float32, generator=None):
    num_taps = 2 * length - 1 if mode == "bidirectional" else length
    x = torch.randn(batch, length, width, generator=generator, dtype=dtype)
    taps = torch.randn(width, num_taps, generator=generator, dtype=dtype) / length**0.5
    return x.requires_grad_(), taps.requires_grad_()


def fused(x, taps, mode):
    return global_conv(x, taps, mode=mode, backend="fused_cpu")


def relative(got, expected):
    return float((got.double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1000, 2187, 4096, 4097, 6144, 10240, 65536])
def test_accuracy_of_outputs_and_gradients(mode, length, generator):
    """Within 5e-7 of float64's by torch.fft, relative to the norm."""
    x, taps = operands(mode, 2, length, 17, generator=generator)
    upstream = torch.randn(x.shape, generator=generator)
    y = fused(x, taps, mode)
    got = y.detach(), *torch.autograd.grad(y, (x, taps), upstream)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, taps)]
    y = global_conv(*exact, mode=mode, backend="spectral")
    for value, right in zip(
        got, (y.detach(), *torch.autograd.grad(y, exact, upstream.double())), strict=True
    ):
        assert relative(value, right) < 5e-7


@settings(max_examples=60)
@given(
    mode=st.sampled_from(MODES),
    length=st.integers(1, 200),
    width=st.integers(1, 70),
    batch=st.integers(1, 5),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_any_shape(mode, length, width, batch, dtype):
    """Widths below, at and above a register's lanes; every kind of length."""
    x, taps = operands(mode, batch, length, width, dtype)
    x, taps = x.detach(), taps.detach()
    assert relative(fused(x, taps, mode), dense(x, taps, mode)) < (2e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", [1023, 1024])
@pytest.mark.parametrize("width", [16, 24, 48, 80])
def test_the_number_of_threads_does_not_change_the_result(mode, width, length, generator):
    """Tiles, and parts of a batch where the tiles do not share evenly."""
    x, taps = operands(mode, 6, length, width, generator=generator)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = fused(x, taps, mode)
            results.append((y.detach(), *torch.autograd.grad(y.square().sum(), (x, taps))))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert torch.equal(other[0], results[0][0])
        assert torch.equal(other[1], results[0][1])
        assert relative(other[2], results[0][2]) < 1e-6  # the parts of a batch are added in another order


def test_many_threads_at_once(generator):
    """Each has scratch memory of its own."""
    problems = [operands("causal", 2, length, 32, generator=generator) for length in (64, 256, 1024, 96)]
    expected = [fused(x, taps, "causal").detach() for x, taps in problems]
    wrong = []

    def work(index):
        x, taps = problems[index % len(problems)]
        for _ in range(20):
            if not torch.equal(fused(x, taps, "causal"), expected[index % len(problems)]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork(generator):
    """A child has none of its parent's threads, as in a DataLoader's worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x, taps = operands("circular", 8, 1024, 64, generator=generator)
        x, taps = x.detach(), taps.detach()
        expected = fused(x, taps, "circular").numpy()
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # a child that waits for threads it does not have is killed
            # NumPy compares: torch's own threads are OpenMP's, which do hang here.
            os._exit(0 if (fused(x, taps, "circular").numpy() == expected).all() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("with_extras", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_torch_accepts_the_operations(mode, with_extras, generator):
    x, taps = (tensor.detach() for tensor in operands(mode, 2, 12, 3, generator=generator))
    extras = (torch.randn(3), torch.randn_like(x), torch.randn_like(x)) if with_extras else (None,) * 3
    library.opcheck(OPERATIONS.convolve, (x, taps, *extras, mode, False))
    for wanted in ([True, True] + [with_extras] * 3, [True] + [False] * 4, [False, True] + [False] * 3):
        library.opcheck(OPERATIONS.differentiate, (x, taps, *extras, x.clone(), mode, wanted))


@pytest.mark.parametrize("mode", MODES)
def test_only_the_operands_are_kept_for_the_backward_pass(mode, generator):
    x, taps = operands(mode, 2, 64, 16, generator=generator)
    gates = [torch.randn(x.shape, requires_grad=True) for _ in range(2)]
    skip = torch.randn(16, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        global_conv(x, taps, mode=mode, skip=skip, gate_in=gates[0], gate_out=gates[1], backend="fused_cpu")
    assert {tensor.data_ptr() for tensor in kept} == {t.data_ptr() for t in (x, taps, skip, *gates)}


@pytest.mark.parametrize("wanted", ["x", "taps"])
def test_one_gradient_alone(wanted, generator):
    x, taps = operands("causal", 3, 40, 5, generator=generator)
    both = dict(
        zip(("x", "taps"), torch.autograd.grad(fused(x, taps, "causal").sum(), (x, taps)), strict=True)
    )
    frozen = {"x": x, "taps": taps}
    frozen["taps" if wanted == "x" else "x"] = frozen["taps" if wanted == "x" else "x"].detach()
    (alone,) = torch.autograd.grad(fused(frozen["x"], frozen["taps"], "causal").sum(), frozen[wanted])
    assert torch.equal(alone, both[wanted])


CHANGES = {
    "in place": lambda taps: taps.mul_(2),
    "behind autograd's back": lambda taps: taps.data.mul_(2),
    "by NumPy, on the same memory": lambda taps: np.multiply(taps.numpy(), 2, out=taps.numpy()),
    "one number": lambda taps: taps[3].__setitem__(5, 7.0),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch", [1, 20])
def test_taps_that_change_are_seen(batch, mode, change, generator):
    """Their spectrum is kept from call to call, and must never be an old one."""
    x, taps = (tensor.detach() for tensor in operands(mode, batch, 64, 16, generator=generator))
    for _ in range(3):
        right = global_conv(x, taps, mode=mode, backend="reference")
        torch.testing.assert_close(fused(x, taps, mode), right, rtol=1e-4, atol=1e-4)
    CHANGES[change](taps)
    right = global_conv(x, taps, mode=mode, backend="reference")
    torch.testing.assert_close(fused(x, taps, mode), right, rtol=1e-4, atol=1e-4)


def test_skip_weights_that_change_are_seen(generator):
    x, taps = (tensor.detach() for tensor in operands("causal", 1, 64, 16, generator=generator))
    skip = torch.randn(16, generator=generator)
    for weights in (None, skip, 2 * skip, None):
        y = global_conv(x, taps, mode="causal", skip=weights, backend="fused_cpu")
        right = global_conv(x, taps, mode="causal", skip=weights, backend="reference")
        torch.testing.assert_close(y, right, rtol=1e-4, atol=1e-4)


def test_a_kept_spectrum_is_used_and_changes_nothing(generator, monkeypatch):
    from globalconv.ops.fused_cpu import launch, roles

    x, taps = (tensor.detach() for tensor in operands("circular", 2, 128, 48, generator=generator))
    asked, run = [], launch._Call.run

    def spy(call, role, **options):
        asked.append(role)
        run(call, role, **options)

    monkeypatch.setattr(launch, "_spectra", launch.Spectra())
    monkeypatch.setattr(launch._Call, "run", spy)
    first, second = fused(x, taps, "circular"), fused(x, taps, "circular")
    assert torch.equal(first, second)
    assert [role & roles.SPECTRA_TO_KEEP for role in asked] == [roles.SPECTRA_TO_KEEP, 0, 0]
    learning = fused(x, taps.clone().requires_grad_(), "circular")
    assert torch.equal(learning, first)
    assert not asked[-1] & roles.SPECTRA_KEPT


def test_what_is_kept_is_bounded(generator, monkeypatch):
    from globalconv.ops.fused_cpu import spectra

    monkeypatch.setattr(spectra, "MOST_BYTES", 10_000)
    kept = spectra.Spectra()
    taps = [torch.randn(4, 100, generator=generator) for _ in range(5)]
    made = []
    for h in (*taps, taps[-1], taps[0]):
        kept.of(("causal",), h, None, 2_000, made.append)
    assert len(made) == 6  # five, the last once more for nothing, and the first anew
    assert kept._kept.nbytes <= 10_000
    assert kept.of(("causal",), taps[0], None, 20_000, made.append) is None


def test_a_module_is_copied_with_its_backend(generator):
    from globalconv import GlobalConv

    layer = GlobalConv(16, 32, causal=True, backend="fused_cpu")
    x = torch.randn(2, 32, 16, generator=generator)
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


@pytest.mark.filterwarnings("ignore:.*lru_cache.*")
def test_compiled_as_one_graph(generator):
    """With gates; all backends and modes: pytest -m slow tests/ops."""
    x, taps = operands("causal", 2, 64, 16, generator=generator)
    gate = torch.randn(x.shape, generator=generator)

    def op(x, taps):
        return global_conv(x, taps, mode="causal", gate_out=gate, backend="fused_cpu")

    torch.compiler.reset()
    results = [f(x, taps) for f in (op, torch.compile(op, backend="aot_eager", fullgraph=True))]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), (x, taps)) for y in results))


def test_exported(generator):
    from globalconv import GlobalConv

    layer = GlobalConv(16, 32, causal=True, backend="fused_cpu")
    x = torch.randn(2, 32, 16, generator=generator)
    exported = torch.export.export(layer, (x,))
    assert "globalconv.fused_cpu" in str(exported.graph)
    torch.testing.assert_close(exported.module()(x), layer(x))


VARIANTS = """
import sys, torch
from globalconv.ops import global_conv
for variant in sys.argv[1:]:
    dtype, gated = variant.split(":")
    x, h = torch.ones(1, 8, 16, dtype=getattr(torch, dtype)), torch.ones(16, 8, dtype=getattr(torch, dtype))
    gate = 3 * x if gated == "gated" else None
    y = global_conv(x, h, mode="circular", backend="fused_cpu", gate_in=gate)
    assert torch.allclose(y, 8 * x if gate is None else 24 * x), variant
"""


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_mix_up_what_they_keep(tmp_path):
    """Each variant by two processes at once, twice: compiled, and from the cache; then all of them in one."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    variants = [f"{dtype}:{gated}" for dtype in ("float32", "float64") for gated in ("plain", "gated")]

    def start(*wanted):
        return subprocess.Popen([sys.executable, "-c", VARIANTS, *wanted], env=environment)

    for _ in range(2):
        running = [start(variant) for variant in variants * 2]
        assert [process.wait() for process in running] == [0] * len(running)
    assert start(*variants).wait() == 0
    assert start(*reversed(variants)).wait() == 0
