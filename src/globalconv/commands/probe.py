"""``globalconv probe``."""

from pathlib import Path
from typing import Annotated

import typer


def probe(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="MIXER, RUN or MODULE:ATTRIBUTE",
            help="attention, global_conv, gated_conv, token_mlp (blocks of it, untrained); a run's directory in "
            "a study's runs/; or package.module:attribute, a torch.nn.Module or what returns one.",
        ),
    ],
    depth: Annotated[
        int | None, typer.Option(min=1, max=24, help="Blocks, for a mixer.", show_default="4")
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Tokens, for a mixer or a module; of a causal run, the first so many.",
            show_default="16, of a mixer; 64, of a causal run",
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(min=1, help="Channels, for a mixer or a module.", show_default="16, of a mixer"),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(min=1, help="Different tokens, for a module that takes tokens.")
    ] = None,
    causal: Annotated[bool, typer.Option("--causal", help="Of a mixer, the causal kind.")] = False,
    bare: Annotated[
        bool,
        typer.Option(
            "--bare",
            help="Of a mixer, layers of it alone: no norm, residual or channel MLP, a GELU between two.",
        ),
    ] = False,
    positions: Annotated[
        str | None,
        typer.Option(help="Of attention, among mixers: rotary, learned or none.", show_default="rotary"),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Of a run or a module: this submodule alone, in its place (stack.blocks.0.mixer)."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=16, help="Highest interaction order to look for; 2^limit evaluations.")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Draws weights, inputs and directions.")] = 0,
    memory: Annotated[
        float | None,
        typer.Option(help="GB that may be used.", show_default="4, or half of what is free"),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time that it may take: 90s, 5m, 1h. What would take longer is not begun.")
    ] = "5m",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    out: Annotated[Path, typer.Option(help="Directory of probe.json and the pictures; overwritten.")] = Path(
        "globalconv-probe"
    ),
) -> None:
    """Ask a model what its tokens do to each other: reach, causality, interactions, content, positions."""
    options = dict(locals())  # each by its name
    from globalconv.api import probe as api

    api.probe(options.pop("subject"), **options)
