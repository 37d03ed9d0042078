"""The choice is a pure function that explains itself, and a backend asked for by name runs or says why not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.ops import Choice, available_backends, backends, choose_backend, global_conv, reference
from globalconv.ops.interface import DTYPES, MODES, Backend, Facts

FACTS: dict[str, Any] = {
    "device": "cpu",
    "dtype": torch.float32,
    "length": 64,
    "num_taps": 64,
    "mode": "causal",
}


@st.composite
def facts(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(MODES))
    length = draw(st.integers(1, 5000))
    num_taps = draw(st.integers(1, length if mode == "circular" else 10_000))
    return {
        "device": draw(st.sampled_from(["cpu", "cuda", "cuda:1", "mps", "meta"])),
        "dtype": draw(st.sampled_from(DTYPES)),
        "length": length,
        "num_taps": num_taps | 1 if mode == "bidirectional" else num_taps,
        "mode": mode,
        "batch": draw(st.one_of(st.none(), st.integers(1, 64))),
        "width": draw(st.one_of(st.none(), st.integers(1, 512))),
    }


@given(facts())
def test_the_choice_is_pure_and_explains_every_backend(given_facts):
    choice = choose_backend(**given_facts)
    assert choice == choose_backend(**given_facts)
    assert sorted([choice.name, *choice.passed_over]) == sorted(
        status.name for status in available_backends()
    )
    assert choice.reason
    assert all(choice.passed_over.values())


@given(facts(), st.integers(0, 5000))
def test_more_taps_never_bring_the_direct_sum_back(given_facts, more):
    if given_facts["mode"] == "circular":
        given_facts["length"] += 2 * more
    given_facts["batch"] = None  # a longer sequence is more work in all, and other reasons count
    few = choose_backend(**given_facts)
    many = choose_backend(**given_facts | {"num_taps": given_facts["num_taps"] + 2 * more})
    assert many.name == few.name or few.name == "reference"


@pytest.mark.parametrize("mode", MODES)
def test_the_crossover(mode):
    most = reference.MOST_TAPS[mode]
    for num_taps, name in ((most, "reference"), (most + 2, "fused_cpu")):
        num_taps -= mode == "bidirectional" and num_taps % 2 == 0
        assert choose_backend(**FACTS | {"mode": mode, "num_taps": num_taps}).name == name
    # Taps that cannot reach into the sequence cost nothing, and do not count.
    if mode != "circular":
        assert choose_backend(**FACTS | {"mode": mode, "num_taps": 65, "length": 2}).name == "reference"
    assert choose_backend(**FACTS | {"mode": mode, "num_taps": 1, "device": "cuda"}).name == "spectral"


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ({"batch": 1000, "width": 8}, "spectral"),
        ({"batch": 1000, "width": 9}, "fused_cpu"),
        ({"batch": 1000, "width": 8, "dtype": torch.float64}, "fused_cpu"),
        ({"batch": 7, "width": 16}, "spectral"),
        ({"batch": 8, "width": 16}, "fused_cpu"),
        ({"batch": 1}, "fused_cpu"),
        ({"width": 16}, "fused_cpu"),
    ],
)
def test_small_signals_go_to_torch(sizes, name):
    assert choose_backend(**FACTS | sizes).name == name


def test_the_rule_is_the_measured_one():
    record = Path(__file__).parents[2] / "benchmarks" / "results" / "choose_backend.json"
    if not record.exists():
        pytest.skip("benchmarks/ is not part of a source distribution")
    assert json.loads(record.read_text())["median_most_taps"] == reference.MOST_TAPS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_taps", [1, 31])
def test_no_name_runs_the_chosen_one(mode, num_taps, generator):
    x, taps = torch.randn(2, 31, 3, generator=generator), torch.randn(3, num_taps, generator=generator)
    sizes = {"batch": 2, "length": 31, "width": 3}
    name = choose_backend(device="cpu", dtype=x.dtype, num_taps=num_taps, mode=mode, **sizes).name
    assert torch.equal(global_conv(x, taps, mode=mode), global_conv(x, taps, mode=mode, backend=name))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mode": "bidrectional"}, "Did you mean 'bidirectional'"),
        ({"dtype": torch.int32}, "torch.int32 cannot be convolved: use one of torch.float32"),
        ({"length": 0}, "at least 1"),
        ({"num_taps": 0}, "at least 1"),
        ({"batch": -1}, "batch -1: it must be at least 0"),
        ({"width": -1}, "width -1: it must be at least 1"),
        ({"mode": "circular", "num_taps": 65}, "at most as many taps"),
        ({"mode": "bidirectional"}, "64 is even"),
        ({"device": "gpu"}, "unknown device 'gpu'. Use a PyTorch device"),
    ],
)
def test_facts_of_no_possible_problem(changes, says):
    with pytest.raises(InputError, match=says):
        choose_backend(**FACTS | changes)


def refuse_long(given_facts: Facts) -> str | None:
    return "sequences longer than 16 do not fit" if given_facts.length > 16 else None


@pytest.fixture
def newcomer(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A third backend, added as one would be: a line in BACKENDS."""
    backend = Backend("fast", "fast on short sequences", reference.convolve, refusal=refuse_long)
    monkeypatch.setattr(backends, "BACKENDS", (backend, *backends.BACKENDS))
    return backend


def test_a_newcomer_is_preferred_where_it_can_run(newcomer):
    most = reference.MOST_TAPS["causal"]
    assert choose_backend(**FACTS | {"length": 16}) == Choice(
        "fast",
        "fast on short sequences",
        {
            "reference": f"more than {most} taps: a transform was measured faster (causal, CPU)",
            "fused_cpu": "'fast' is preferred for these facts",
            "spectral": "'fast' is preferred for these facts",
        },
    )
    choice = choose_backend(**FACTS)
    assert choice.name == "fused_cpu"
    assert choice.passed_over["fast"] == "sequences longer than 16 do not fit"


def test_a_refusal_is_given_by_name(newcomer):
    x, taps = torch.ones(1, 17, 1), torch.ones(1, 3)
    assert global_conv(x[:, :16], taps, mode="causal", backend="fast").shape == (1, 16, 1)
    with pytest.raises(InputError, match=r"cannot run this: sequences longer than 16 do not fit.*'spectral'"):
        global_conv(x, taps, mode="causal", backend="fast")


def test_a_machine_that_lacks_something(monkeypatch):
    direct, fused, spectral = backends.BACKENDS
    no_numba = replace(fused, unavailable=lambda: "Numba cannot be imported")
    lacking = replace(spectral, unavailable=lambda: "this build of PyTorch has no FFT")
    monkeypatch.setattr(backends, "BACKENDS", (direct, no_numba, spectral))
    choice = choose_backend(**FACTS)
    assert (choice.name, choice.passed_over["fused_cpu"]) == ("spectral", "Numba cannot be imported")
    monkeypatch.setattr(backends, "BACKENDS", (direct, no_numba, lacking))
    obstacles = [status.obstacle for status in available_backends()]
    assert obstacles == [None, "Numba cannot be imported", "this build of PyTorch has no FFT"]
    # Outrun by nothing that is there: the direct sum it is.
    choice = choose_backend(**FACTS)
    assert choice.name == "reference"
    assert choice.reason == "nothing faster can run this here"
    assert choice.passed_over["spectral"] == "this build of PyTorch has no FFT"
    with pytest.raises(InputError, match="no FFT"):
        global_conv(torch.ones(1, 2, 1), torch.ones(1, 1), mode="causal", backend="spectral")


@pytest.mark.parametrize("breakage", ["raise ImportError('no LLVM here')", "njit = None"])
def test_without_a_numba_that_works_everything_goes_on(breakage, tmp_path):
    """In a process of its own, in which `import numba` finds something else."""
    (tmp_path / "numba.py").write_text(breakage)
    program = (
        "import torch, globalconv\n"
        "from globalconv.ops import available_backends\n"
        "y = globalconv.global_conv(torch.ones(1, 32, 2), torch.ones(2, 32), mode='causal')\n"
        "assert y[0, -1, 0].round() == 32\n"
        "print({b.name: b.obstacle for b in available_backends()}['fused_cpu'])"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "umba" in ended.stdout or "kernels" in ended.stdout


def test_importing_the_package_imports_neither_numba_nor_the_compiler():
    """Each would take longer than all the rest of it: they are for those who call them."""
    program = (
        "import sys, torch; before = set(sys.modules); import globalconv; "
        "print([name for name in ('numba', 'torch._dynamo') if name in set(sys.modules) - before])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
