"""``globalconv cost``."""

from pathlib import Path
from typing import Annotated

import typer


def cost(
    lengths: Annotated[
        str, typer.Option(help="Comma-separated; or 64:65536, doubled from the first to the last.")
    ] = "64:8192",
    widths: Annotated[str, typer.Option(help="Channels, comma-separated.")] = "64,256",
    mixers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: attention, gated_conv, token_mlp; the plain convolution as reference, spectral or "
            "fused_cpu (its backends), or as global_conv (the backend that is chosen); package.module:Class. "
            "Default: all but global_conv that can run here."
        ),
    ] = None,
    mode: Annotated[str, typer.Option(help="circular or causal. token_mlp cannot be causal.")] = "circular",
    backward: Annotated[
        bool, typer.Option("--backward", help="Forward and backward together, instead of forward alone.")
    ] = False,
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Also decoding: the mean time of a token in sequences of each length."),
    ] = False,
    batch: Annotated[int, typer.Option(help="Sequences in a batch.")] = 1,
    heads: Annotated[
        int | None, typer.Option(help="Attention heads. Default: one for each 64 channels.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    rounds: Annotated[int, typer.Option(help="How often each point is measured.")] = 7,
    budget: Annotated[
        str,
        typer.Option(help="Total time: 90s, 5m, 1h. Curves end where they would exceed their share."),
    ] = "90s",
    memory: Annotated[
        str | None,
        typer.Option(help="Memory limit of a call: 512MB, 4GB. Default: half of the device's memory."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Directory for cost.json, cost.csv and the pictures; overwritten.")
    ] = Path("globalconv-cost"),
) -> None:
    """Measure what each mixer costs against the length, count its flops and bytes, and find where the curves cross."""
    options = dict(locals())  # each by its name
    from globalconv.api import cost as api

    if api.cost(**options).ended == "interrupted":
        raise typer.Exit(130)
