"""Where kernels come from: a whole file or the compiler, one thread at a time, and never the end of a call.

Most of it is tried on a kernel that compiles at once, and fills a register with ones.
"""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from globalconv.errors import InputError
from globalconv.ops import available_backends, choose_backend, global_conv
from globalconv.ops.fused_cpu import compiled, jit, kernels
from globalconv.ops.fused_cpu.vectors import REGISTER_BYTES


class Compiler:
    """In the compiler's place: counts what it is asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile = lambda: None

    def __call__(self, dtype, gated):
        self.asked += 1
        self.meanwhile()
        return kernels.trial()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The only place for kernels, and a process that has none yet."""
    for name, value in (("_addresses", {}), ("_failure", None), ("_is_possible", False)):
        monkeypatch.setattr(compiled, name, value)
    monkeypatch.setattr(compiled, "_folders", lambda: iter([tmp_path]))
    return tmp_path


@pytest.fixture
def compiler(folder, monkeypatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(kernels, "compiled", made)
    return made


def in_a_new_process(address=compiled.kernel_address) -> None:
    """Ask for the kernel as a process does that has none, and see that it works."""
    compiled._addresses.clear()
    room = np.zeros(2 * REGISTER_BYTES, np.uint8)
    ctypes.CFUNCTYPE(None, ctypes.c_ssize_t)(address(torch.float32, False))(room.ctypes.data)
    assert room.view(np.float32).tolist() == [1.0] * (REGISTER_BYTES // 4) + [0.0] * (REGISTER_BYTES // 4)


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("*.kernel"))


def test_what_one_process_compiles_the_next_one_reads(folder, compiler):
    in_a_new_process()
    in_a_new_process()
    assert compiler.asked == 1
    assert len(kept(folder)) == 1


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def of_another_process(content: bytes) -> bytes:
    name, _, code = compiled._unpacked(content)
    return compiled._packed((name, b"a_function_that_is_nowhere", code))


DAMAGE = {
    "empty": lambda content: b"",
    "cut in its digest": lambda content: content[:20],
    "nothing but its digest": lambda content: content[:32],
    "cut": lambda content: content[: len(content) // 2],
    "cut by one byte": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "zeros": lambda content: bytes(len(content)),
    "a bit of the digest": lambda content: flipped(content, 3),
    "a bit of a size": lambda content: flipped(content, 33),
    "a bit of the code": lambda content: flipped(content, len(content) - 100),
    "calls what is not there": of_another_process,
    "of another version": lambda content: compiled._packed((b"one part",)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_as_good_as_none(damage, folder, compiler):
    in_a_new_process()
    (file,) = kept(folder)
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    in_a_new_process()
    assert compiler.asked == 2
    in_a_new_process()  # and it was mended
    assert compiler.asked == 2


def test_a_folder_where_the_file_should_be(folder, compiler):
    in_a_new_process()
    (file,) = kept(folder)
    file.unlink()
    file.mkdir()
    in_a_new_process()
    assert compiler.asked == 2


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space left on device")


@pytest.mark.parametrize("place", ["none", "a file", "below a file", "full"])
def test_without_a_place_for_files_every_process_compiles(place, folder, compiler, monkeypatch):
    (folder / "file").touch()
    places = {"none": [], "a file": [folder / "file"], "below a file": [folder / "file" / "x"]}
    monkeypatch.setattr(compiled, "_folders", lambda: iter(places.get(place, [folder])))
    if place == "full":
        monkeypatch.setattr(Path, "write_bytes", no_room)
    in_a_new_process()
    in_a_new_process()
    assert compiler.asked == 2
    assert sorted(file.name for file in folder.iterdir() if file.suffix != ".lock") == ["file"]


def test_the_first_place_that_takes_it_is_taken(folder, compiler, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setattr(compiled, "_folders", lambda: iter([folder / "file", folder / "a", folder / "b"]))
    in_a_new_process()
    in_a_new_process()
    assert compiler.asked == 1
    assert len(kept(folder / "a")) == 1
    assert not (folder / "b").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="each user has a folder of his own there")
def test_beside_others_only_a_folder_of_ones_own_is_trusted(folder, compiler, monkeypatch):
    own = folder / "own"
    monkeypatch.setattr(compiled, "_beside_others", lambda: own)
    monkeypatch.setattr(compiled, "_folders", lambda: iter([own]))
    in_a_new_process()
    in_a_new_process()
    assert compiler.asked == 1
    own.chmod(0o777)
    in_a_new_process()
    assert compiler.asked == 2
    own.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    in_a_new_process()
    assert compiler.asked == 3
    own.rename(folder / "elsewhere")
    own.symlink_to(folder / "elsewhere")
    monkeypatch.undo()
    monkeypatch.setattr(compiled, "_beside_others", lambda: own)
    assert not compiled._is_trusted(own)


def test_a_kernel_is_kept_under_a_name_of_all_that_it_depends_on(tmp_path, monkeypatch):
    for name in ("a.py", "compiled.py"):
        (tmp_path / name).write_text("x = 1")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    names = {
        compiled._file_name(dtype, gated) for dtype in (torch.float32, torch.float64) for gated in (0, 1)
    }
    assert len(names) == 4
    (tmp_path / "a.py").write_text("x = 2")
    names.add(compiled._file_name(torch.float32, False))
    monkeypatch.setattr(jit, "compiler", lambda: ("another processor",))
    names.add(compiled._file_name(torch.float32, False))
    assert len(names) == 6


def test_a_call_that_interrupts_the_compiler_is_told_so(folder, compiler):
    told = []

    def interrupt():
        with pytest.raises(compiled.NoKernel, match="is compiling"):
            compiled.kernel_address(torch.float64, False)
        told.append(True)

    compiler.meanwhile = interrupt
    in_a_new_process()
    assert told
    compiler.meanwhile = lambda: None
    in_a_new_process(
        lambda *_: compiled.kernel_address(torch.float64, False)
    )  # it was no reason for later calls


def test_an_interrupted_compiler_is_asked_again(folder, compiler):
    def interrupt():
        raise KeyboardInterrupt

    compiler.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        in_a_new_process()
    compiler.meanwhile = lambda: None
    in_a_new_process()


def test_threads_wait_for_the_one_that_compiles(folder, compiler):
    started = threading.Event()

    def meanwhile():
        started.set()
        threading.Event().wait(0.2)

    compiler.meanwhile = meanwhile
    addresses = []
    threads = [
        threading.Thread(target=lambda: addresses.append(compiled.kernel_address(torch.float32, False)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(addresses) == 4
    assert len(set(addresses)) == 1
    assert compiler.asked == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_is_not_born_into_the_compilers_lock(folder, compiler):
    started = threading.Event()

    def meanwhile():
        started.set()
        threading.Event().wait(0.3)

    compiler.meanwhile = meanwhile
    thread = threading.Thread(target=lambda: compiled.kernel_address(torch.float32, False))
    thread.start()
    started.wait(30)
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if compiled.kernel_address(torch.float32, False) and compiler.asked == 1 else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


FACTS = {"device": "cpu", "dtype": torch.float32, "length": 512, "num_taps": 512, "mode": "causal"}


@pytest.mark.parametrize("gated", [False, True])
def test_where_it_cannot_be_compiled_another_backend_computes(gated, folder, compiler, generator):
    """Also in the first call of all, and for whoever asks afterwards."""

    def fail():
        raise RuntimeError("no typing for this version\nand many lines more")

    compiler.meanwhile = fail
    x, taps = torch.randn(2, 512, 64, generator=generator), torch.randn(64, 512, generator=generator)
    gate = x if gated else None
    assert choose_backend(**FACTS).name == "fused_cpu"  # as far as anyone knows
    with pytest.warns(RuntimeWarning, match="no typing for this version"):
        y = global_conv(x, taps, mode="causal", gate_in=gate)
    assert torch.equal(y, global_conv(x, taps, mode="causal", gate_in=gate, backend="spectral"))
    choice = choose_backend(**FACTS)
    assert choice.name == "spectral"
    assert "no typing for this version" in choice.passed_over["fused_cpu"]
    assert "\n" not in choice.passed_over["fused_cpu"]
    assert {b.name: b.obstacle for b in available_backends()}["fused_cpu"] is not None
    with pytest.raises(InputError, match=r"'fused_cpu' cannot run this: .*no typing.*'spectral'"):
        global_conv(x, taps, mode="causal", gate_in=gate, backend="fused_cpu")
    assert compiler.asked == 1


def test_whether_it_can_be_compiled_is_found_without_compiling_it(folder, compiler, monkeypatch):
    assert compiled.obstacle() is None
    assert compiler.asked == 0

    def fail():
        raise TypeError("an old version")

    monkeypatch.setattr(compiled, "_is_possible", False)
    monkeypatch.setattr(kernels, "trial", fail)
    with pytest.warns(RuntimeWarning, match="an old version"):
        reason = compiled.obstacle()
    assert "an old version" in reason
    assert choose_backend(**FACTS).name == "spectral"


PROGRAM = """
import torch, globalconv
from globalconv.ops import available_backends, choose_backend
x, taps = torch.randn(2, 512, 64), torch.randn(64, 512)
y = globalconv.global_conv(x, taps, mode="causal")
torch.testing.assert_close(y, globalconv.global_conv(x, taps, mode="causal", backend="spectral"), rtol=1e-3, atol=1e-3)
print({b.name: b.obstacle for b in available_backends()}["fused_cpu"])
"""


def run(**environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_a_numba_that_may_not_compile():
    assert "NUMBA_DISABLE_JIT" in run(NUMBA_DISABLE_JIT="1")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["read-only home", "a file"])
def test_processes_without_a_place(place, tmp_path):
    """Compiled for real, by a package beside which nobody can write."""
    import shutil

    import globalconv

    copy = tmp_path / "globalconv"
    shutil.copytree(Path(globalconv.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for package in [path.parent for path in copy.rglob("__init__.py")]:
        (package / "__pycache__").touch()
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file")
    places = {"HOME": "/proc", "XDG_CACHE_HOME": "/proc/x"}
    if place == "a file":
        places = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere, "TMPDIR": nowhere}
    assert run(PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1", **places) == "None"
