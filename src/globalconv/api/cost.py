"""``globalconv.cost``, which ``globalconv cost`` calls."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from globalconv.host.threads import threads_restored
from globalconv.measure.cost import run
from globalconv.measure.cost.request import CostRequest
from globalconv.measure.record import Record
from globalconv.options import parse_bytes, parse_duration, parse_lengths, parse_names, parse_numbers, typed


def cost(
    *,
    lengths: str | Sequence[int] = "64:8192",
    widths: str | int | Sequence[int] = "64,256",
    mixers: str | Sequence[str] | None = None,
    mode: str = "circular",
    backward: bool = False,
    decode: bool = False,
    batch: int = 1,
    heads: int | None = None,
    device: str = "auto",
    threads: int = 1,
    rounds: int = 7,
    budget: str | float = "90s",
    memory: str | float | None = None,
    out: str | os.PathLike[str] = "globalconv-cost",
    verbose: bool = True,
) -> Record:
    """Measure what each mixer costs against the sequence length, and where it costs less than attention.

    Options are those of ``globalconv cost`` (docs/commands.md); several values are a list, or a string as on the
    command line; ``memory`` is "4GB", or bytes. The record's ``results`` have a row for each mixer and size; the
    record is also written to ``out``. Ctrl-C ends the measurement and returns the results so far. Raises InputError
    for invalid options.
    """
    request = CostRequest(
        lengths=parse_lengths(typed(lengths)),
        widths=parse_numbers("--widths", typed(widths)),
        mixers=None if mixers is None else parse_names("--mixers", typed(mixers)),
        mode=mode,
        batch=batch,
        heads=heads,
        device=device,
        threads=threads,
        backward=backward,
        decode=decode,
        rounds=rounds,
        budget_seconds=parse_duration(str(budget)),
        memory=None if memory is None else parse_bytes(typed(memory)),
    )
    with threads_restored():
        return run.run_cost(request, Path(out), console=Console(quiet=not verbose))
