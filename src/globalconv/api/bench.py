"""``globalconv.bench``, which ``globalconv bench`` calls."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from globalconv.host.threads import threads_restored
from globalconv.measure.bench import run
from globalconv.measure.bench.request import BenchRequest, parse_elements
from globalconv.measure.record import Record
from globalconv.options import parse_duration, parse_lengths, parse_names, parse_numbers, typed


def bench(
    *,
    lengths: str | Sequence[int] = "64,256,1024,4096,16384,65536",
    widths: str | int | Sequence[int] = "256",
    threads: str | int | Sequence[int] = "1",
    modes: str | Sequence[str] = "circular,causal",
    elements: str | int = "2**23",
    rounds: int = 9,
    peers: str | Sequence[str] | None = None,
    backend: str | None = None,
    backward: bool = True,
    gated: bool = False,
    budget: str | float = "5m",
    out: str | os.PathLike[str] = "globalconv-bench",
    verbose: bool = True,
) -> Record:
    """Measure the operator's speed on this machine, side by side with other implementations of the same result.

    Options are those of ``globalconv bench`` (docs/commands.md); several values are a list, or a string as on the
    command line. The record's ``results`` have a row for each implementation and case; the record is also written to
    ``out``. Ctrl-C ends the measurement and returns the results so far. Raises InputError for invalid options.
    """
    request = BenchRequest(
        lengths=parse_lengths(typed(lengths)),
        widths=parse_numbers("--widths", typed(widths)),
        threads=parse_numbers("--threads", typed(threads)),
        modes=parse_names("--modes", typed(modes)),
        elements=parse_elements(typed(elements)),
        rounds=rounds,
        peers=None if peers is None else parse_names("--peers", typed(peers)),
        backend=backend,
        backward=backward,
        gated=gated,
        budget_seconds=parse_duration(str(budget)),
    )
    with threads_restored():
        return run.run_bench(request, Path(out), console=Console(quiet=not verbose))
