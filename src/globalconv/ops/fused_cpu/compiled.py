"""Where a kernel's machine code comes from: a file of an earlier process, or the compiler, which then leaves a file.

Numba's own cache is an index and pickles beside it: two processes that write at once mix up its entries, a
damaged file ends the call that reads it, and where nothing can be written nothing is compiled. Here each kernel
is one file, whose name says all that the code depends on and whose first bytes are the digest of the rest. A file
that is damaged, of another processor or of another version is as good as none, and no file is needed.

One thread at a time compiles. A call that interrupts it on its own thread (a signal handler, a finaliser) is told
so: the compiler cannot be entered twice. A fork waits until it is done, so that no child is born into a lock.
"""

import hashlib
import os
import secrets
import stat
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

LONGEST_WAIT = 120.0
"""Seconds to wait for another process that compiles the same kernel; then it is stuck, and this one compiles too."""


class NoKernel(Exception):
    """Why there is no kernel, as a phrase."""


def kernel_address(dtype: torch.dtype, gated: bool) -> int:
    """The address of the kernel for a dtype, with or without gates: a function of C. Raises NoKernel."""
    address = _addresses.get((dtype, gated))
    return address if address is not None else _prepare(dtype, gated)


def obstacle() -> str | None:
    """Why there can be no kernel, found without compiling one: a kernel on disk, or a trial, says that there can."""
    global _is_possible
    if not _is_possible and _failure is None and not _under_way:
        with _lock, _failing():
            kept = _read(_file_name(torch.float32, gated=False))
            if kept is not None:
                _addresses[torch.float32, False] = kept
            else:
                from globalconv.ops.fused_cpu import jit, kernels

                jit.loaded(kernels.trial())
        _is_possible = True
    return _failure


# --- one at a time ------------------------------------------------------------------------------------

_addresses: dict[tuple[torch.dtype, bool], int] = {}
_failure: str | None = None
_under_way = False
_is_possible = False
_lock = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _prepare(dtype: torch.dtype, gated: bool) -> int:
    with _lock:
        if (dtype, gated) in _addresses:
            return _addresses[dtype, gated]
        if _under_way:
            raise NoKernel("the call that this one interrupts is compiling its kernels")
        if _failure is None:
            with _failing():
                _addresses[dtype, gated] = _read_or_compiled(dtype, gated)
        if _failure is not None:
            raise NoKernel(_failure)
        return _addresses[dtype, gated]


@contextmanager
def _failing() -> Iterator[None]:
    """What goes wrong in here is why there is no kernel, from now on."""
    global _failure, _under_way
    _under_way = True
    try:
        yield
    except Exception as error:  # a compiler fails in any way it likes
        _failure = f"its kernels cannot be compiled ({_in_short(error)})"
        warnings.warn(f"The fused CPU convolution is not used: {_failure}.", RuntimeWarning, stacklevel=2)
    finally:
        _under_way = False


def _in_short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


# --- from a file, or by the compiler ------------------------------------------------------------------


def _read_or_compiled(dtype: torch.dtype, gated: bool) -> int:
    from globalconv.ops.fused_cpu import jit, kernels

    name = _file_name(dtype, gated)
    if (address := _read(name)) is not None:
        return address
    with _alone_among_processes(name):
        if (address := _read(name)) is not None:  # by the process that was waited for
            return address
        parts = kernels.compiled(np.float32 if dtype == torch.float32 else np.float64, 0 if gated else None)
        address = jit.loaded(parts)
        _write(name, parts)
        return address


def _file_name(dtype: torch.dtype, gated: bool) -> str:
    variant = f"{str(dtype).removeprefix('torch.')}-{'gated' if gated else 'plain'}"
    return f"globalconv-{variant}-{_all_it_depends_on()}.kernel"


def _read(name: str) -> int | None:
    """The address of the kernel in the first file that is whole, or None."""
    from globalconv.ops.fused_cpu import jit

    for folder in _folders():
        # Whatever is wrong with a file, the kernel is compiled anew.
        with suppress(Exception):
            if _is_trusted(folder):
                return jit.loaded(_unpacked((folder / name).read_bytes()))
    return None


def _write(name: str, parts: tuple[bytes, ...]) -> None:
    """Into the first folder that takes it; nowhere if none does."""
    for folder in _writable_folders():
        beside = folder / f"{name}.{secrets.token_hex(8)}"
        try:
            beside.write_bytes(_packed(parts))
            beside.replace(folder / name)
        except OSError:
            with suppress(OSError):
                beside.unlink()
        else:
            return


def _packed(parts: tuple[bytes, ...]) -> bytes:
    body = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hashlib.sha256(body).digest() + body


def _unpacked(content: bytes) -> tuple[bytes, ...]:
    """Raises ValueError unless every byte is as it was written."""
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("damaged")
    parts, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 8], "little")
        parts.append(body[at + 8 : at + 8 + size])
        at += 8 + size
    return tuple(parts)


def _all_it_depends_on() -> str:
    """A digest of the package's sources, the compiler's versions and the processor."""
    from globalconv.ops.fused_cpu import jit

    sources = sorted(Path(__file__).parent.glob("*.py"))
    everything = hashlib.sha256(repr((sys.implementation.cache_tag, *jit.compiler())).encode())
    for source in sources:
        everything.update(source.read_bytes())
    return everything.hexdigest()[:24]


# --- where files are kept -----------------------------------------------------------------------------


def _folders() -> Iterator[Path]:
    """Where kernels may lie, the best place first: all are read, and the first that can be is written to."""
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(own)
    yield Path(__file__).parent / "__pycache__"
    if Path(caches := os.environ.get("XDG_CACHE_HOME", "")).is_absolute():
        yield Path(caches) / "globalconv"
    with suppress(RuntimeError):  # nobody knows the user's home
        yield Path("~").expanduser() / ".cache" / "globalconv"
    if sys.platform != "win32":  # there each user has a folder for what is temporary
        yield _beside_others()


def _beside_others() -> Path:
    return Path(tempfile.gettempdir()) / f"globalconv-{os.getuid()}"


def _is_trusted(folder: Path) -> bool:
    """False for a folder that may not be this user's own where everyone can make one: code is run that lies there."""
    if sys.platform == "win32" or folder != _beside_others():
        return True
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o022


def _writable_folders() -> Iterator[Path]:
    for folder in _folders():
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_trusted(folder) and os.access(folder, os.W_OK):
                yield folder


@contextmanager
def _alone_among_processes(name: str) -> Iterator[None]:
    """Wait for another process that compiles the same: what it leaves need not be compiled again."""
    with ExitStack() as held:
        for folder in _writable_folders():
            # No lock there, or held by a process that is stuck: go on, the file itself is written in one go.
            with suppress(OSError, NotImplementedError):
                held.enter_context(FileLock(folder / f"{name}.lock").acquire(timeout=LONGEST_WAIT))
                break
        yield
