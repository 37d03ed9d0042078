"""``globalconv compare``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from globalconv.options import command_line

WHAT, DATA = "What to compare", "Data"
BUDGET, OUTPUT = "Budget and hardware", "Output"


def compare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK or PATH",
            help="Tasks, or files: .txt, .npz, .csv. Default: recall digits text.",
            show_default=False,
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Comma-separated: gated_conv,hybrid,my_module:MyMixer. Default: five arms.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    rival: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The arm to compare with. Default: attention.", rich_help_panel=WHAT
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", help="Blocks. Default: the task's.", rich_help_panel=WHAT)
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="N", help="Channels. Default: the task's.", rich_help_panel=WHAT)
    ] = None,
    heads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Attention heads. Default: the task's.", rich_help_panel=WHAT),
    ] = None,
    design: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Encoder-decoder design: original or modern.", rich_help_panel=WHAT
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Arms have equal parameters, flops or seconds. Default: parameters.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of classification: accuracy, balanced_accuracy or macro_f1.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Equivalence margin, in units of the metric. Default: the task's.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Column of the classes in a .csv.", rich_help_panel=DATA),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column or array of groups; no group is on two sides of a split.",
            rich_help_panel=DATA,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Axes of X in an .npz: channels_last or channels_first.",
            rich_help_panel=DATA,
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Your own validation split.", rich_help_panel=DATA),
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="FILE", help="Your own test split.", rich_help_panel=DATA)
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Tokens per sequence, of tasks that can choose.", rich_help_panel=DATA
        ),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Consecutive positions per token, of .npz and .csv.", rich_help_panel=DATA
        ),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keys and values of recall; subwords of translation.",
            rich_help_panel=DATA,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Files of fashion or translation.", rich_help_panel=DATA),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Beams that translate the test split. Default: 4.", rich_help_panel=DATA
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time for the whole study: 90s, 5m, 1h30m.", rich_help_panel=BUDGET
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Training steps per run. Default: what fits the budget.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", help="Sequences per step. Default: the task's.", rich_help_panel=BUDGET),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Final runs per arm. Default: 3; 5 from 30m on.", rich_help_panel=BUDGET
        ),
    ] = None,
    sweep: Annotated[
        bool | None,
        typer.Option(
            "--sweep/--no-sweep",
            help="Tune every arm's learning rate first.",
            show_default=False,
            rich_help_panel=BUDGET,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cpu, cuda, or auto: cuda if there is one. Default: auto.",
            rich_help_panel=BUDGET,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="no (float32), bf16 or fp16. Default: no.", rich_help_panel=BUDGET),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Parallel runs. Default: the cores; 1 on a GPU.", rich_help_panel=BUDGET
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The study's directory. Default: one in globalconv-studies/ per study.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Read options from a TOML file; others override it.", rich_help_panel=OUTPUT
        ),
    ] = None,
    save_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the options to a TOML file.", rich_help_panel=OUTPUT),
    ] = None,
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
