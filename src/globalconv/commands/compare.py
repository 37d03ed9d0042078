"""``globalconv compare``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from globalconv.commands.options import BUDGET, DEVICE, OUTPUT, option
from globalconv.options import command_line

WHAT, DATA, TRAINING = "What to compare", "Data", "Training"


def compare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK or PATH", help="Default: recall digits text.", show_default=False),
    ] = None,
    arms: Annotated[
        str | None, option(WHAT, "NAMES", "Arms: attention,gated_conv,hybrid. Default: five.")
    ] = None,
    rival: Annotated[str | None, option(WHAT, "NAME", "The arm to compare with. Default: attention.")] = None,
    depth: Annotated[int | None, option(WHAT, "N", "Blocks. Default: the task's.")] = None,
    width: Annotated[int | None, option(WHAT, "N", "Channels. Default: the task's.")] = None,
    heads: Annotated[int | None, option(WHAT, "N", "Attention heads. Default: the task's.")] = None,
    design: Annotated[str | None, option(WHAT, "NAME", "Encoder-decoder design: original or modern.")] = None,
    match: Annotated[
        str | None, option(WHAT, "NAME", "Equal parameters (default), flops or seconds.")
    ] = None,
    metric: Annotated[
        str | None, option(WHAT, "NAME", "accuracy (default), balanced_accuracy, macro_f1.")
    ] = None,
    margin: Annotated[float | None, option(WHAT, "X", "Equivalence margin. Default: the task's.")] = None,
    label: Annotated[str | None, option(DATA, "COLUMN", "Column of the classes in a .csv.")] = None,
    groups: Annotated[str | None, option(DATA, "COLUMN", "Column or array of groups, kept together.")] = None,
    layout: Annotated[str | None, option(DATA, "NAME", "Axes of X: channels_last, channels_first.")] = None,
    validation: Annotated[str | None, option(DATA, "FILE", "Your own validation split.")] = None,
    test: Annotated[str | None, option(DATA, "FILE", "Your own test split.")] = None,
    length: Annotated[int | None, option(DATA, "N", "Tokens per sequence. Default: the task's.")] = None,
    patch: Annotated[int | None, option(DATA, "N", "Consecutive positions per token.")] = None,
    vocabulary: Annotated[
        int | None, option(DATA, "N", "Size of the vocabulary. Default: the task's.")
    ] = None,
    data: Annotated[str | None, option(DATA, "PATH", "Files of fashion or translation.")] = None,
    beams: Annotated[int | None, option(DATA, "N", "Beams in translation. Default: 4.")] = None,
    budget: Annotated[str | None, option(BUDGET, "TIME", "Time limit of the study: 90s, 5m, 1h30m.")] = None,
    steps: Annotated[int | None, option(TRAINING, "N", "Steps per run. Default: what fits.")] = None,
    batch_size: Annotated[int | None, option(TRAINING, "N", "Sequences per training step.")] = None,
    seeds: Annotated[int | None, option(TRAINING, "N", "Final runs per arm. Default: 3 or 5.")] = None,
    sweep: Annotated[
        bool | None, option(TRAINING, None, "Tune the learning rates first.", "--sweep/--no-sweep")
    ] = None,
    device: Annotated[str | None, option(BUDGET, "NAME", DEVICE)] = None,
    precision: Annotated[
        str | None, option(BUDGET, "NAME", "no (float32), bf16 or fp16. Default: no.")
    ] = None,
    workers: Annotated[
        int | None, option(BUDGET, "N", "Parallel runs. Default: the cores; 1 on a GPU.")
    ] = None,
    out: Annotated[
        Path | None, option(OUTPUT, "DIR", "The study's directory. Default: one per study.")
    ] = None,
    config: Annotated[
        Path | None, option(OUTPUT, "FILE", "Read options from a TOML file; others override.")
    ] = None,
    save_config: Annotated[Path | None, option(OUTPUT, "FILE", "Write the options to a TOML file.")] = None,
) -> None:
    """Train arms that differ only in the token mixer, and write a report with a verdict.

    The same command again resumes an interrupted study, or rebuilds its report. Every option: docs/compare.md.
    """
    options = {name: value for name, value in locals().items() if value not in (None, [])}  # each by its name
    from globalconv.study.request import study_asked_for, write_config
    from globalconv.study.run import run_study

    options.pop("save_config", None)
    request, directory = study_asked_for(options)
    if save_config is not None:
        write_config(save_config, request, directory)
    command = command_line(["globalconv", *sys.argv[1:]])
    try:
        run_study(request, directory, command=command, console=Console())
    except KeyboardInterrupt:
        kept = (
            "Finished runs are kept: the same command again resumes the study."
            if any(directory.glob("runs/*/result.json"))
            else "No run had finished: the same command starts the study again."
        )
        Console(stderr=True).print(f"\nInterrupted. {kept}", soft_wrap=True)
        raise typer.Exit(130) from None
