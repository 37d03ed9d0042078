"""How an option stands in a command's help: in a panel, on one line of 80 columns, with its default in the text."""

from typing import Any

import typer

MEASURE, BUDGET = "What to measure", "Budget and hardware"
HARDWARE, OUTPUT = "Hardware", "Output"
DEVICE = "Default: auto (cuda if available); or cpu, cuda."


def option(panel: str, metavar: str | None, text: str, *names: str, **limits: Any) -> Any:
    """A typer option in ``panel``. ``limits``: typer's ``min`` and ``max``. docs/commands.md explains it in full."""
    return typer.Option(
        *names, metavar=metavar, help=text, rich_help_panel=panel, show_default=False, **limits
    )
