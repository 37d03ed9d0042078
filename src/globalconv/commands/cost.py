"""``globalconv cost``."""

from pathlib import Path
from typing import Annotated

import typer

from globalconv.commands.options import BUDGET, DEVICE, MEASURE, OUTPUT, option


def cost(
    lengths: Annotated[
        str, option(MEASURE, "LIST", "Lengths: 64,100 or doubling. Default: 64:8192.")
    ] = "64:8192",
    widths: Annotated[str, option(MEASURE, "LIST", "Channels, comma-separated. Default: 64,256.")] = "64,256",
    mixers: Annotated[
        str | None, option(MEASURE, "LIST", "Mixers: attention,spectral,... Default: see docs.")
    ] = None,
    mode: Annotated[str, option(MEASURE, "NAME", "circular or causal. Default: circular.")] = "circular",
    backward: Annotated[
        bool, option(MEASURE, None, "Forward and backward, not forward alone.", "--backward")
    ] = False,
    decode: Annotated[
        bool, option(MEASURE, None, "Also the mean time per decoded token.", "--decode")
    ] = False,
    batch: Annotated[int, option(MEASURE, "N", "Sequences per batch. Default: 1.")] = 1,
    heads: Annotated[int | None, option(MEASURE, "N", "Attention heads. Default: 1 per 64 channels.")] = None,
    device: Annotated[str, option(BUDGET, "NAME", DEVICE)] = "auto",
    threads: Annotated[int, option(BUDGET, "N", "CPU threads. Default: 1.")] = 1,
    rounds: Annotated[int, option(BUDGET, "N", "Repetitions of each measurement. Default: 7.")] = 7,
    budget: Annotated[str, option(BUDGET, "TIME", "Time limit: 90s, 5m, 1h. Default: 90s.")] = "90s",
    memory: Annotated[
        str | None, option(BUDGET, "SIZE", "Memory limit of a call: 4GB. Default: half.")
    ] = None,
    out: Annotated[Path, option(OUTPUT, "DIR", "Output directory. Default: globalconv-cost.")] = Path(
        "globalconv-cost"
    ),
) -> None:
    """Measure what each mixer costs against the length, and from which length it is cheaper than attention.

    Every option: docs/commands.md.
    """
    options = dict(locals())  # each by its name
    from globalconv.api import cost as api

    if api.cost(**options).ended == "interrupted":
        raise typer.Exit(130)
