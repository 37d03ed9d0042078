"""``globalconv bench``."""

from pathlib import Path
from typing import Annotated

import typer


def bench(
    lengths: Annotated[
        str, typer.Option(help="Comma-separated; or 64:65536, doubled from the first to the last.")
    ] = "64,256,1024,4096,16384,65536",
    widths: Annotated[str, typer.Option(help="Channels, comma-separated.")] = "256",
    threads: Annotated[str, typer.Option(help="Numbers of threads, comma-separated: 1,2.")] = "1",
    modes: Annotated[
        str, typer.Option(help="Comma-separated: circular, causal, bidirectional.")
    ] = "circular,causal",
    elements: Annotated[str, typer.Option(help="Batch x length x width, which decides the batch.")] = "2**23",
    rounds: Annotated[int, typer.Option(help="How often each is called, at most.")] = 9,
    peers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: torch_dim1, torch_transposed, torch_own_layout (torch.fft in three layouts), scipy, "
            "ducc0, jax, conv1d, attention; or one of the backends: reference, spectral, fused_cpu. Default: all that "
            "are installed."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="The baseline of all ratios. Default: the backend that global_conv chooses."),
    ] = None,
    backward: Annotated[
        bool, typer.Option("--backward/--no-backward", help="Also forward and backward together.")
    ] = True,
    gated: Annotated[bool, typer.Option("--gated", help="Also with a skip term and two gates.")] = False,
    budget: Annotated[
        str,
        typer.Option(help="Total time: 5m, 1h, 90s. Slow peers and rounds are cut to fit it."),
    ] = "5m",
    out: Annotated[
        Path, typer.Option(help="Directory for bench.json, bench.csv and the pictures; overwritten.")
    ] = Path("globalconv-bench"),
) -> None:
    """Measure the operator's speed on this machine, side by side with other implementations."""
    options = dict(locals())  # each by its name
    from globalconv.api import bench as api

    if api.bench(**options).ended == "interrupted":
        raise typer.Exit(130)
