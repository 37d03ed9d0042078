"""Runs over the cores: one thread each, through joblib, without oversubscription."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from joblib import Parallel, delayed

SECONDS_BETWEEN_LOOKS = 0.5


def over_the_cores(
    function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, workers: int
) -> Iterator[Any]:
    """``function(*arguments)`` for every item, as they finish; the next item is taken when a core is free.

    Returns (arguments' index, result) pairs. The worker processes stay alive between calls, and end
    when this process does, however it ends. An exception in a worker is raised here.
    """
    jobs = (delayed(_guarded)(os.getpid(), function, i, item) for i, item in enumerate(arguments))
    if workers == 1:
        for job, args, kwargs in jobs:
            yield job(*args, **kwargs)
        return
    pool = Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="n_jobs", batch_size=1)
    yield from pool(jobs)


def _guarded(
    parent: int, function: Callable[..., Any], index: int, arguments: tuple[Any, ...]
) -> tuple[int, Any]:
    if os.getpid() != parent:
        _live_only_with(parent)
    return index, function(*arguments)


_watched: set[int] = set()


def _live_only_with(parent: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and end when it is gone, even if it was killed.

    Else a worker would go on writing into a run that the resumed study has already begun again.
    """
    if parent in _watched:
        return
    _watched.add(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
