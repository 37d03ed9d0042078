"""``globalconv backends``."""

from typing import Annotated

import typer
from rich.console import Console


def backends(
    length: Annotated[int, typer.Option(min=1, help="Sequence length to choose a backend for.")] = 1024,
    taps: Annotated[
        int | None, typer.Option(min=1, help="Filter taps. Default: as many as the length can use.")
    ] = None,
    mode: Annotated[str, typer.Option(help="circular, causal or bidirectional.")] = "causal",
    device: Annotated[str, typer.Option(help="A PyTorch device, or auto: cuda if there is one.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Sequences in a batch.")] = 8,
    width: Annotated[int, typer.Option(min=1, help="Channels.")] = 256,
) -> None:
    """Print which operator backends can run here, which one is chosen, and why not the others."""
    from globalconv.study.run import print_backends

    usable = 2 * length - 1 if mode == "bidirectional" else length
    print_backends(
        length=length,
        num_taps=taps or usable,
        mode=mode,
        device=device,
        batch=batch,
        width=width,
        console=Console(),
    )
