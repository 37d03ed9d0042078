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
    """Probe how a model's tokens affect each other: reach, causality, interactions, content, positions.

    ``subject``: a mixer's name, a run's directory (``Study.run_dir``) or "package.module:attribute"; for modules
    use the functions of ``globalconv.probes``. ``memory`` is in GB. Options are those of ``globalconv probe``
    (docs/commands.md). The findings' ``results`` have an entry for each probe; they are also written to ``out``. Raises
    InputError if the subject cannot be probed, or not within ``budget``.
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
