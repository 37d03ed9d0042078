"""``globalconv backends``."""

from typing import Annotated

from globalconv.commands.options import DEVICE, HARDWARE, option

CALL = "Call"


def backends(
    length: Annotated[int, option(CALL, "N", "Sequence length. Default: 1024.", min=1)] = 1024,
    taps: Annotated[int | None, option(CALL, "N", "Filter taps. Default: all that fit.", min=1)] = None,
    mode: Annotated[str, option(CALL, "NAME", "Or circular, bidirectional. Default: causal.")] = "causal",
    batch: Annotated[int, option(CALL, "N", "Sequences per batch. Default: 8.", min=1)] = 8,
    width: Annotated[int, option(CALL, "N", "Channels. Default: 256.", min=1)] = 256,
    device: Annotated[str, option(HARDWARE, "NAME", DEVICE)] = "auto",
) -> None:
    """Print the operator's backends, which one is chosen for a call, and why the others are not.

    Every option: docs/commands.md.
    """
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
