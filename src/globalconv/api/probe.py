"""``globalconv.probe``, which ``globalconv probe`` calls."""

import os
from pathlib import Path

from rich.console import Console

from globalconv.options import parse_duration
from globalconv.probing import run
from globalconv.probing.questions import Findings
from globalconv.probing.target import ProbeRequest

GB = 1e9


def probe(
    subject: str | os.PathLike[str],
    /,
    *,
    depth: int | None = None,
    length: int | None = None,
    width: int | None = None,
    vocabulary: int | None = None,
    causal: bool = False,
    bare: bool = False,
    positions: str | None = None,
    at: str | None = None,
    limit: int = 10,
    seed: int = 0,
    memory: float | None = None,
    budget: str | float = "5m",
    device: str = "auto",
    out: str | os.PathLike[str] = "globalconv-probe",
    verbose: bool = True,
) -> Findings:
    """Ask a model what its tokens do to each other: reach, causality, interactions, content, positions.

    ``subject``: a mixer's name, a run's directory (``Study.run_dir``) or "package.module:attribute"; a module that you
    hold is probed by the functions of ``globalconv.probes``. ``memory`` in GB. Each option means what it means in
    ``globalconv probe --help``. The findings' ``results`` have an entry for each probe; the same is written to ``out``.
    Raises InputError for what cannot be probed, or not within ``budget``.
    """
    request = ProbeRequest(
        os.fspath(subject),
        depth=depth,
        length=length,
        width=width,
        vocabulary=vocabulary,
        causal=causal,
        at=at,
        limit=limit,
        bare=bare,
        positions=positions,
        seed=seed,
        budget_seconds=parse_duration(str(budget)),
        device=device,
        **({} if memory is None else {"memory": memory * GB}),
    )
    return run.run_probe(request, Path(out), console=Console(quiet=not verbose))
