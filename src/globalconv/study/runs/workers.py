"""Runs over the cores: one thread each, through joblib, without oversubscription."""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool

from globalconv.errors import InputError

SECONDS_BETWEEN_LOOKS = 0.5


def over_the_cores(
    function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, workers: int
) -> Iterator[Any]:
    """``function(*arguments)`` for every item, as they finish; the next item is taken when a core is free.

    Returns (arguments' index, result) pairs. The worker processes stay alive between calls, and end
    when this process does, however it ends. An exception in a worker is raised here; InputError if a
    worker vanished.
    """
    jobs = (delayed(_guarded)(os.getpid(), function, i, item) for i, item in enumerate(arguments))
    if workers == 1:
        for job, args, kwargs in jobs:
            yield job(*args, **kwargs)
        return
    # joblib warns of what is meant here: a worker whose memory grew is replaced between two jobs, and an
    # interrupted study lets go of its jobs. Nothing is lost by either.
    for meant in ("A worker stopped while some jobs were given", ".*tasks which were still being processed"):
        warnings.filterwarnings("ignore", meant, UserWarning)
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
    with _safe_path():
        try:
            with _interrupts_held_back():
                results = pool(jobs)
        except OSError as error:
            raise InputError(
                f"worker processes cannot be started here ({error}). Use --workers 1, or mend what is in their way: no "
                f"Python at {sys.executable}, or a limit on processes or files."
            ) from error
        try:
            yield from results
        except BrokenProcessPool as error:
            raise InputError(
                "a worker process ended unexpectedly, most likely because the memory ran out. Use fewer "
                "--workers or smaller sizes; finished runs are kept."
            ) from error


@contextmanager
def _safe_path() -> Iterator[None]:
    """Keep workers, and their replacements, from importing modules of the current folder, as Python otherwise does."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start workers that never see Ctrl-C, which a terminal sends to the whole group of processes.

    They inherit the blocked signal. Here it is remembered, and delivered when the block is lifted: a mask
    alone would not do, because any other thread may take the signal, and Python then interrupts this one,
    between two workers, or in the middle of one.
    """
    if sys.platform == "win32":  # which has neither the signal masks nor the groups
        yield
        return
    # Before Python 3.13 the tracker's own start unblocks the signal, so it may not fall into the block.
    resource_tracker.ensure_running()
    came = threading.Event()
    main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    handler = signal.signal(signal.SIGINT, lambda *_: came.set()) if main else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if main:
            signal.signal(signal.SIGINT, handler)
        if came.is_set():
            signal.raise_signal(signal.SIGINT)


def _guarded(
    parent: int, function: Callable[..., Any], index: int, arguments: tuple[Any, ...]
) -> tuple[int, Any]:
    if os.getpid() != parent:
        _live_only_with(parent)
    return index, function(*arguments)


_watched: set[int] = set()


def _live_only_with(parent: int) -> None:
    """In a worker: end when the parent is gone, even if it was killed.

    Else a worker would go on writing into a run that the resumed study has already begun again.
    """
    if parent in _watched:
        return
    _watched.add(parent)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
