"""``globalconv bench``."""

from pathlib import Path
from typing import Annotated

import typer

from globalconv.commands.options import BUDGET, MEASURE, OUTPUT, option

CALLS, COMPARISON = "Calls", "Comparison"


def bench(
    lengths: Annotated[
        str,
        option(MEASURE, "LIST", "Lengths: 64,100 or 64:65536 (doubling). Default: 6."),
    ] = "64,256,1024,4096,16384,65536",
    widths: Annotated[str, option(MEASURE, "LIST", "Channels, comma-separated. Default: 256.")] = "256",
    modes: Annotated[
        str, option(MEASURE, "LIST", "Or bidirectional. Default: circular,causal.")
    ] = "circular,causal",
    elements: Annotated[str, option(MEASURE, "N", "Batch x length x width. Default: 2**23.")] = "2**23",
    backward: Annotated[
        bool, option(CALLS, None, "Also forward and backward together.", "--backward/--no-backward")
    ] = True,
    gated: Annotated[bool, option(CALLS, None, "Also with a skip term and two gates.", "--gated")] = False,
    peers: Annotated[
        str | None,
        option(COMPARISON, "LIST", "Other implementations. Default: all installed."),
    ] = None,
    backend: Annotated[
        str | None, option(COMPARISON, "NAME", "Baseline backend. Default: the chosen one.")
    ] = None,
    threads: Annotated[str, option(BUDGET, "LIST", "Numbers of CPU threads: 1,2. Default: 1.")] = "1",
    rounds: Annotated[int, option(BUDGET, "N", "Repetitions of each measurement. Default: 9.")] = 9,
    budget: Annotated[str, option(BUDGET, "TIME", "Time limit: 90s, 5m, 1h. Default: 5m.")] = "5m",
    out: Annotated[Path, option(OUTPUT, "DIR", "Output directory. Default: globalconv-bench.")] = Path(
        "globalconv-bench"
    ),
) -> None:
    """Measure the operator's speed on this machine, side by side with other implementations.

    Every option: docs/commands.md.
    """
    options = dict(locals())  # each by its name
    from globalconv.api import bench as api

    if api.bench(**options).ended == "interrupted":
        raise typer.Exit(130)
