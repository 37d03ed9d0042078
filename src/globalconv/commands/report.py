"""``globalconv report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A study's directory, as `compare` printed it.")
    ],
) -> None:
    """Rebuild a study's report from its directory alone, also while the study is unfinished."""
    from globalconv.study.run import rebuild_report

    rebuild_report(directory, console=Console())
