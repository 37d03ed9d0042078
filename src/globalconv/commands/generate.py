"""``globalconv generate``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def generate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="A run on text: a directory in a study's runs/."),
    ],
    prompt: Annotated[str, typer.Option(help="The text to continue.")],
    tokens: Annotated[int, typer.Option(help="Bytes to generate.")] = 256,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature. 0: greedy decoding, the likeliest byte each time.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k likeliest bytes only.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
) -> None:
    """Continue a text with a study's language model, byte by byte, from cached states."""
    from globalconv.generate import GenerateRequest, run_generate

    request = GenerateRequest(
        run, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed, device=device
    )
    if run_generate(request, sys.stdout, notes=Console(stderr=True)).ended == "interrupted":
        raise typer.Exit(130)
