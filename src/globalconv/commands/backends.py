"""``globalconv backends``."""

from typing import Annotated

import typer


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
    import torch
    from rich.console import Console
    from rich.table import Table

    from globalconv import ops
    from globalconv.host.devices import resolve_device
    from globalconv.options import LARGEST_LENGTH, LARGEST_WIDTH, check_range

    device = resolve_device(device) if device == "auto" else device  # others may be devices that are not here
    taps = taps or (2 * length - 1 if mode == "bidirectional" else length)
    check_range("--length", length, 1, LARGEST_LENGTH)
    check_range("--taps", taps, 1, 2 * LARGEST_LENGTH)
    check_range("--batch", batch, 1, LARGEST_LENGTH)
    check_range("--width", width, 1, LARGEST_WIDTH)
    choice = ops.choose_backend(
        device=device,
        dtype=torch.float32,
        length=length,
        num_taps=taps,
        mode=mode,  # type: ignore[arg-type]  # choose_backend refuses what is no mode
        batch=batch,
        width=width,
    )
    heading = f"for {mode}, {batch} x {length} x {width}, {taps} taps on {device}"
    table = Table("backend", "here", "what it is", heading)
    for backend in ops.available_backends():
        here = "yes" if backend.obstacle is None else f"no: {backend.obstacle}"
        fate = "chosen" if backend.name == choice.name else f"passed over: {choice.passed_over[backend.name]}"
        table.add_row(backend.name, here, backend.merit, fate)
    Console().print(table)
