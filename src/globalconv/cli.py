"""The command line: the program, its commands, and how it ends. Nothing is decided here."""

import io
import os
import signal
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from globalconv.commands.backends import backends
from globalconv.commands.bench import bench
from globalconv.commands.compare import compare
from globalconv.commands.cost import cost
from globalconv.commands.generate import generate
from globalconv.commands.mixers import mixers
from globalconv.commands.predict import predict
from globalconv.commands.probe import probe
from globalconv.commands.report import report
from globalconv.errors import InputError
from globalconv.version import __version__

UsageError: type[Any] = typer.BadParameter.__mro__[1]
"""What the parser raises: click's, or that of the copy which later typers bring."""

app = typer.Typer(
    help="Can a global depthwise convolution replace self-attention on your data? Measure it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (compare, report, mixers, backends, bench, probe, generate, predict, cost):
    app.command()(command)


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


def main() -> None:
    """The console script: a user's mistake ends in a line that says how to correct it, a bug of ours in a traceback."""
    # SIGTERM (timeout, a cluster's scheduler) ends a command as Ctrl-C does, and leaves no worker behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Processes that this one starts do not import from the current folder either.
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):  # a character that a terminal cannot write must not end a study
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=not sys.argv[1:]) or 0)  # without arguments it prints the help
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
