"""Calls of third-party code: errors are shown with the user's lines of code, and the time is limited."""

import linecache
import signal
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from globalconv.errors import InputError

OURS = Path(__file__).parents[1]
TORCH = Path(torch.__file__).parent
INSTALLED = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
PYTHONS = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}


class _TookTooLong(BaseException):
    """Not an Exception, so that ``except Exception`` in the user's code does not catch it."""


@contextmanager
def code_of(name: str, *, doing: str, seconds: float | None = None) -> Iterator[None]:
    """A context for user code: an exception becomes an InputError that begins with ``name`` and ``doing``.

    The outermost and innermost frames of the user's code follow. ``seconds`` is the time limit; it applies if the
    system has timers and this is the main thread. An InputError passes unchanged.
    """
    try:
        with _ended_after(seconds):
            yield
    except (InputError, KeyboardInterrupt):
        raise
    except _TookTooLong as error:
        if seconds is None:
            raise
        raise InputError(
            f"'{name}' {doing}: that takes more than {seconds:g} seconds, or does not end.{_own_frames(error)}"
        ) from error
    except SystemExit as error:
        raise InputError(
            f"'{name}' {doing}: it calls exit({error.code}), and must not end the program.{_own_frames(error)}"
        ) from error
    except BaseException as error:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, SyntaxError):
            reason = error.msg
        raise InputError(
            f"'{name}' {doing}: {type(error).__name__}{f': {reason}' if reason else ''}{_own_frames(error)}"
        ) from error


@contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    able = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if seconds is None or not able:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _TookTooLong

    outer = signal.getitimer(signal.ITIMER_REAL)[0]  # the timer of an outer call, which continues
    started = time.monotonic()
    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, outer or seconds))
    try:
        yield
    finally:
        left = max(outer - (time.monotonic() - started), 1e-3) if outer else 0.0
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _own_frames(error: BaseException) -> str:
    """The outermost and the innermost frame that belong neither to us nor to a library, one per line."""
    frames = [
        (frame.filename, frame.lineno or 0, f", in {frame.name}")
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno or 0, ""))
    own = [frame for frame in frames if not _below(frame[0], OURS, TORCH, *INSTALLED, *PYTHONS)]
    if not own:  # an installed package of the user, or only the call itself
        own = [
            frame for frame in frames if _below(frame[0], *INSTALLED) and not _below(frame[0], OURS, TORCH)
        ]
    return "".join(
        f'\n  File "{file}", line {line}{where}: {linecache.getline(file, line).strip()}'
        for file, line, where in dict.fromkeys(own[:1] + own[-1:])
    )


def _below(file: str, *folders: Path) -> bool:
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in folders)
