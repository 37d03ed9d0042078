"""``globalconv report``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory of a study.")],
) -> None:
    """Rebuild the report of a study, complete or not, from its directory.

    What it writes: docs/report-schema.md.
    """
    from globalconv.study.run import rebuild_report

    rebuild_report(directory, console=Console())
