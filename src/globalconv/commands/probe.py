"""``globalconv probe``."""

from pathlib import Path
from typing import Annotated

import typer

from globalconv.commands.options import BUDGET, DEVICE, OUTPUT, option

MODEL, PROBES = "Model", "Probes"


def probe(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A mixer, a run or module:attribute.")],
    depth: Annotated[
        int | None, option(MODEL, "N", "Blocks, if SUBJECT is a mixer. Default: 4.", min=1, max=24)
    ] = None,
    length: Annotated[
        int | None, option(MODEL, "N", "Tokens. Default: 16; for causal runs 64.", min=2)
    ] = None,
    width: Annotated[int | None, option(MODEL, "N", "Channels. Default: 16 for mixers.", min=1)] = None,
    vocabulary: Annotated[
        int | None, option(MODEL, "N", "Vocabulary of a module that takes tokens.", min=1)
    ] = None,
    causal: Annotated[bool, option(MODEL, None, "Build the mixer causal.", "--causal")] = False,
    bare: Annotated[bool, option(MODEL, None, "Mixers and GELUs only, not whole blocks.", "--bare")] = False,
    positions: Annotated[
        str | None, option(MODEL, "NAME", "rotary, learned or none. Default: rotary.")
    ] = None,
    at: Annotated[str | None, option(MODEL, "NAME", "Probe this submodule only, in place.")] = None,
    limit: Annotated[int, option(PROBES, "N", "Highest interaction order. Default: 10.", min=1, max=16)] = 10,
    seed: Annotated[int, option(PROBES, "N", "Seed of weights and inputs. Default: 0.")] = 0,
    memory: Annotated[
        float | None, option(BUDGET, "GB", "Memory limit. Default: 4, or half of what is free.")
    ] = None,
    budget: Annotated[str, option(BUDGET, "TIME", "Time limit: 90s, 5m, 1h. Default: 5m.")] = "5m",
    device: Annotated[str, option(BUDGET, "NAME", DEVICE)] = "auto",
    out: Annotated[Path, option(OUTPUT, "DIR", "Output directory. Default: globalconv-probe.")] = Path(
        "globalconv-probe"
    ),
) -> None:
    """Probe how a model's tokens affect each other: reach, causality, interactions, content, positions.

    Every option: docs/commands.md.
    """
    options = dict(locals())  # each by its name
    from globalconv.api import probe as api

    api.probe(options.pop("subject"), **options)
