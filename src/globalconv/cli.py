"""The command line: parse, call, print. Nothing is decided here, and torch is imported where it is used."""

import hashlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.console import Console
from rich.markup import escape

from globalconv.errors import InputError, printable, unknown_name
from globalconv.options import (
    command_line,
    parse_bytes,
    parse_duration,
    parse_lengths,
    parse_names,
    parse_numbers,
)
from globalconv.version import __version__

if TYPE_CHECKING:
    from globalconv.study.spec import StudyRequest

UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""What the parser raises: click's, or that of the copy which later typers bring."""

app = typer.Typer(
    help="Can a global depthwise convolution replace self-attention on your data? Measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def compare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK or PATH",
            help="recall, digits, text, fashion; sequence to sequence: copy, reverse, sort, number_words, "
            "translation; or your own data: a text file or folder (language modelling), .npz with X and y or "
            ".csv with --label (sequence classification). "
            "Default: recall digits text.",
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: attention, global_conv, gated_conv, token_mlp, hybrid (global_conv and "
            "attention in turns), any mixers joined by + over the depth, or package.module:Class. Default: the "
            "five, as far as they can run, be matched and fit the budget. Of sequence to sequence also conv_encoder, "
            "conv_decoder, conv_both, conv_cross, or "
            "ENCODER/DECODER/CROSS; default there: attention, conv_encoder, conv_both, hybrid, conv_cross."
        ),
    ] = None,
    rival: Annotated[str, typer.Option(help="The arm that the others are compared with.")] = "attention",
    depth: Annotated[int | None, typer.Option(min=1, help="Blocks. Default: the task's.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels. Default: the task's.")] = None,
    length: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens: of a text's window, of recall; at most, of either side of translation, its end among them. "
            "Symbols of copy, reverse and sort: exactly so many, and an end, which reports count too.",
        ),
    ] = None,
    vocabulary: Annotated[
        int | None,
        typer.Option(
            help="Subwords of translation, both languages together (default: as many as the text can train, up to "
            "2000); keys and values of recall."
        ),
    ] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Attention heads. Default: the task's.")] = None,
    design: Annotated[
        str | None,
        typer.Option(
            help="Of sequence to sequence: original (Attention Is All You Need: post-norm, sinusoidal positions, "
            "its recipe) or modern (pre-norm, rotary positions, ours). Default: original."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps per run. Default: what the budget holds.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the task's.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Final runs per arm. Default: 3; 5 from --budget 30m on.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Wall-clock time for everything: 5m, 1h, 90s, 1h30m; a bare number is seconds. What does not fit is "
            "cut and told. Default: 5m for your own data or sizes; what the steps that ship take otherwise (about 5m)."
        ),
    ] = None,
    match: Annotated[
        str, typer.Option(help="What the arms have equally much of: parameters, flops or seconds.")
    ] = "parameters",
    margin: Annotated[
        float | None,
        typer.Option(help="The difference in the metric that you would not mind. Default: the task's."),
    ] = None,
    sweep: Annotated[
        bool | None,
        typer.Option(
            "--sweep/--no-sweep",
            help="Tune every arm's learning rate. Default: from --budget 30m on, and wherever the "
            "shipped rates were not measured (your own data, other sizes).",
            show_default=False,
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="The class column of a CSV.")] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="The column of a CSV, or the array of an .npz, that says which examples belong together (one "
            "patient's): no group is on two sides of the split. Default: the array 'groups', if there is one."
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="Of X in an .npz: channels_last, (n, length, channels), or channels_first. Default: channels_last, "
            "unless the second axis is too short to be time; the report says which."
        ),
    ] = None,
    validation: Annotated[
        str | None, typer.Option(help="Your own validation split: a file like the one with your data.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Your own test split, likewise.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What judges a classification: accuracy, balanced_accuracy or macro_f1. All are reported. "
            "Default: accuracy."
        ),
    ] = None,
    patch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of .npz and .csv: so many consecutive positions form one token. Default: 1, or as many as make long "
            "sequences fit the budget.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Where the files of 'fashion' lie. Of 'translation': a .tsv, two files SOURCE,TARGET, a .po, a .mo, "
            "or a folder of these; default: the catalogues of this machine's programs."
        ),
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(help="Of 'translation': how many beams write the test split. 1: greedy. Default: 4."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The study's directory. Default: one under ./globalconv-studies per study asked for."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    precision: Annotated[str, typer.Option(help="no (float32), bf16 or fp16 mixed precision.")] = "no",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side. Default: the cores; 1 on a GPU.")
    ] = None,
) -> None:
    """Train arms that differ only in the token mixer, and write a report with a verdict.

    The same command again resumes a study that was interrupted, or rebuilds its report.
    """
    from globalconv.study.run import run_study
    from globalconv.study.spec import StudyRequest

    request = _request(
        StudyRequest,
        tasks=tuple(tasks or ()),
        arms=_names(arms),
        rival=rival,
        depth=depth,
        width=width,
        length=length,
        vocabulary=vocabulary,
        heads=heads,
        design=design,
        steps=steps,
        batch_size=batch_size,
        seeds=seeds,
        patch=patch,
        budget_seconds=None if budget is None else parse_duration(budget),
        match=match,
        margin=margin,
        sweep=sweep,
        label=label,
        groups=groups,
        layout=layout,
        validation=validation,
        test=test,
        metric=metric,
        data=data,
        beams=beams,
        device=device,
        precision=precision,
        workers=workers,
    )
    command = command_line(["globalconv", *sys.argv[1:]])
    try:
        run_study(request, out or _default_out(request), command=command, console=Console())
    except KeyboardInterrupt:
        runs = (out or _default_out(request)) / "runs"
        kept = (
            "Finished runs are kept: the same command again resumes the study."
            if any(runs.glob("*/result.json"))
            else "No run had finished: the same command again begins anew."
        )
        Console(stderr=True).print(f"\nInterrupted. {kept}", soft_wrap=True)
        raise typer.Exit(130) from None


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="A study's directory, as `compare` printed it.")],
) -> None:
    """Rebuild a study's report from its directory alone, also while it is unfinished."""
    from globalconv.study.run import rebuild_report

    rebuild_report(directory, console=Console())


@app.command()
def backends(
    length: Annotated[int, typer.Option(min=1, help="Sequence length to choose for.")] = 1024,
    taps: Annotated[
        int | None, typer.Option(min=1, help="Taps. Default: as many as the length can use.")
    ] = None,
    mode: Annotated[str, typer.Option(help="circular, causal or bidirectional.")] = "causal",
    device: Annotated[str, typer.Option(help="A PyTorch device, or auto: cuda if there is one.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Sequences at a time.")] = 8,
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


@app.command()
def bench(
    lengths: Annotated[
        str, typer.Option(help="Comma-separated; or 64:65536, doubled from the first to the last.")
    ] = "64,256,1024,4096,16384,65536",
    widths: Annotated[str, typer.Option(help="Channels, comma-separated.")] = "256",
    threads: Annotated[str, typer.Option(help="Numbers of threads, comma-separated: 1,2.")] = "1",
    modes: Annotated[
        str, typer.Option(help="Comma-separated: circular, causal, bidirectional.")
    ] = "circular,causal",
    elements: Annotated[
        str, typer.Option(help="Batch x length x width; the batch is what makes it so.")
    ] = "2**23",
    rounds: Annotated[int, typer.Option(help="Times that each is called, at most.")] = 9,
    peers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: torch_dim1, torch_transposed, torch_own_layout (torch.fft in three layouts), scipy, "
            "ducc0, jax, conv1d, attention; or a backend of ours: reference, spectral, fused_cpu. Default: all that "
            "are installed."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="What they are measured against. Default: the backend that global_conv chooses."),
    ] = None,
    backward: Annotated[
        bool, typer.Option("--backward/--no-backward", help="Also forward and backward together.")
    ] = True,
    gated: Annotated[bool, typer.Option("--gated", help="Also with a skip term and two gates.")] = False,
    budget: Annotated[
        str,
        typer.Option(help="Time for everything: 5m, 1h, 90s. Slow peers and rounds are cut to fit it."),
    ] = "5m",
    out: Annotated[
        Path, typer.Option(help="Directory of bench.json, bench.csv and the pictures; overwritten.")
    ] = Path("globalconv-bench"),
) -> None:
    """Measure the operator's speed on this machine, side by side with others' ways to the same result."""
    from globalconv.bench.request import BenchRequest, parse_elements
    from globalconv.bench.run import run_bench

    request = BenchRequest(
        lengths=parse_lengths(lengths),
        widths=parse_numbers("--widths", widths),
        threads=parse_numbers("--threads", threads),
        modes=parse_names("--modes", modes),
        elements=parse_elements(elements),
        rounds=rounds,
        peers=None if peers is None else parse_names("--peers", peers),
        backend=backend,
        backward=backward,
        gated=gated,
        budget_seconds=parse_duration(budget),
    )
    if run_bench(request, out, console=Console()).ended == "interrupted":
        raise typer.Exit(130)


@app.command()
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
    from globalconv.probing.run import run_probe
    from globalconv.probing.target import ProbeRequest

    request = ProbeRequest(
        subject,
        depth=depth,
        length=length,
        width=width,
        vocabulary=vocabulary,
        causal=causal,
        at=at,
        limit=limit,
        bare=bare,
        positions=positions,
        seed=seed,
        budget_seconds=parse_duration(budget),
        device=device,
        **({} if memory is None else {"memory": memory * 1e9}),
    )
    run_probe(request, out, console=Console())


@app.command()
def generate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="A run on text: a directory in a study's runs/."),
    ],
    prompt: Annotated[str, typer.Option(help="What is to be continued.")],
    tokens: Annotated[int, typer.Option(help="Bytes to write.")] = 256,
    temperature: Annotated[
        float, typer.Option(help="Below 1, likelier bytes come more often; 0: always the likeliest.")
    ] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from so many of the likeliest bytes only.")] = None,
    seed: Annotated[int, typer.Option(help="Draws the bytes.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
) -> None:
    """Let a study's language model continue a text, byte by byte, without reading the whole again for each."""
    from globalconv.generate import GenerateRequest, run_generate

    request = GenerateRequest(
        run, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed, device=device
    )
    if run_generate(request, sys.stdout, notes=Console(stderr=True)).ended == "interrupted":
        raise typer.Exit(130)


@app.command()
def predict(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="A run of a classification: a directory in a study's runs/."),
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=".npz with X, or .csv or .tsv with the columns of the training file; with classes, it is scored too.",
        ),
    ],
    batch_size: Annotated[int, typer.Option(help="Rows at a time.")] = 128,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    out: Annotated[
        Path, typer.Option(help="CSV of each row's class and of all classes' probabilities; overwritten.")
    ] = Path("globalconv-predictions.csv"),
) -> None:
    """Let a study's classifier say the classes of new rows."""
    from globalconv.prediction import PredictRequest, run_predict

    request = PredictRequest(run, file, out, device=device, batch_size=batch_size)
    run_predict(request, console=Console())


@app.command()
def cost(
    lengths: Annotated[
        str, typer.Option(help="Comma-separated; or 64:65536, doubled from the first to the last.")
    ] = "64:8192",
    widths: Annotated[str, typer.Option(help="Channels, comma-separated.")] = "64,256",
    mixers: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: attention, gated_conv, token_mlp; the plain convolution by one of its backends, as "
            "reference, spectral or fused_cpu, or by the one that is chosen, as global_conv; package.module:Class. "
            "Default: all but global_conv, where they can run."
        ),
    ] = None,
    mode: Annotated[str, typer.Option(help="circular or causal. token_mlp cannot be causal.")] = "circular",
    backward: Annotated[
        bool, typer.Option("--backward", help="Forward and backward together, instead of forward alone.")
    ] = False,
    decode: Annotated[
        bool, typer.Option("--decode", help="Also one new token at each length of what is cached.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Sequences at a time.")] = 1,
    heads: Annotated[
        int | None, typer.Option(help="Of attention. Default: one for each 64 channels.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda if there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="Of the CPU.")] = 1,
    rounds: Annotated[int, typer.Option(help="Times that each point is measured.")] = 7,
    budget: Annotated[
        str,
        typer.Option(
            help="Time for everything: 90s, 5m, 1h. Curves end where they would exceed their share."
        ),
    ] = "90s",
    memory: Annotated[
        str | None,
        typer.Option(help="What a call may need: 512MB, 4GB. Default: half of the device's memory."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Directory of cost.json, cost.csv and the pictures; overwritten.")
    ] = Path("globalconv-cost"),
) -> None:
    """Measure what each mixer costs against the length, beside what the formulas say, and where curves cross."""
    from globalconv.cost.command.request import CostRequest
    from globalconv.cost.command.run import run_cost

    request = CostRequest(
        lengths=parse_lengths(lengths),
        widths=parse_numbers("--widths", widths),
        mixers=None if mixers is None else parse_names("--mixers", mixers),
        mode=mode,
        batch=batch,
        heads=heads,
        device=device,
        threads=threads,
        backward=backward,
        decode=decode,
        rounds=rounds,
        budget_seconds=parse_duration(budget),
        memory=None if memory is None else parse_bytes(memory),
    )
    if run_cost(request, out, console=Console()).ended == "interrupted":
        raise typer.Exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"globalconv {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def _names(arms: str | None) -> tuple[str, ...]:
    if arms is None:
        return ()
    names = tuple(part.strip() for part in arms.split(","))
    if not all(names):
        raise InputError(f"--arms '{arms}': name the arms with commas between them: attention,global_conv.")
    return names


def _request(request: "type[StudyRequest]", **options: Any) -> "StudyRequest":
    """The request, with a choice that does not exist told in one line."""
    from pydantic import ValidationError

    try:
        return request(**options)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        option = f"--{field.replace('_', '-')}"
        if first["type"] == "literal_error":
            choices = get_args(request.model_fields[field].annotation)
            if type(None) in choices:  # an option that may be left out
                choices = get_args(choices[0])
            raise unknown_name(option, first["input"], choices) from error
        if first["type"] in ("less_than_equal", "greater_than_equal"):
            (bound,) = first["ctx"].values()
            side = "most" if first["type"] == "less_than_equal" else "least"
            raise InputError(f"{option} {first['input']}: at {side} {bound:,}.") from error
        raise InputError(f"{option} {first['input']}: {first['msg']}.") from error


def _default_out(request: "StudyRequest") -> Path:
    """A directory of its own for every study asked for, the same one when it is asked for again."""
    asked = request.model_dump(mode="json", exclude={"workers"})
    canonical = json.dumps(asked, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    names = "-".join(Path(task).stem or "data" for task in request.tasks) or "default"
    names = "".join(letter if letter == printable(letter) else "_" for letter in names[:60])
    return Path("globalconv-studies") / f"{names}-{digest}"


def main() -> None:
    """The console script: user's mistakes end in what mends them, mostly a line; ours in a traceback."""
    # A polite end (timeout, a cluster's scheduler) is told like Ctrl-C, and leaves no worker behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Processes that this one starts do not look for modules where it is called either.
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot write must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=not sys.argv[1:]) or 0)  # alone it prints the help
    except InputError as error:
        _refuse(str(error))
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "globalconv"
        _refuse(f"{error.format_message().rstrip('.')}. See {command} --help.")


def _refuse(message: str) -> None:
    Console(stderr=True).print(
        f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False, emoji=False
    )
    sys.exit(2)
