"""``globalconv generate``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from globalconv.commands.options import DEVICE, HARDWARE, option

TEXT, SAMPLING = "Text", "Sampling"


def generate(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run on text, of a study.")],
    prompt: Annotated[str, option(TEXT, "TEXT", "The text to continue.")],
    tokens: Annotated[int, option(TEXT, "N", "Bytes to generate. Default: 256.")] = 256,
    temperature: Annotated[float, option(SAMPLING, "X", "Temperature; 0 is greedy. Default: 1.0.")] = 1.0,
    top_k: Annotated[
        int | None, option(SAMPLING, "N", "Sample from the N likeliest bytes. Default: all.")
    ] = None,
    seed: Annotated[int, option(SAMPLING, "N", "Seed of the sampling. Default: 0.")] = 0,
    device: Annotated[str, option(HARDWARE, "NAME", DEVICE)] = "auto",
) -> None:
    """Continue a text with a study's language model, byte by byte, from cached states.

    Every option: docs/commands.md.
    """
    from globalconv.inference.generation import GenerateRequest, run_generate

    request = GenerateRequest(
        run, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed, device=device
    )
    if run_generate(request, sys.stdout, notes=Console(stderr=True)).ended == "interrupted":
        raise typer.Exit(130)
