"""``globalconv mixers``."""

from typing import Annotated

import typer


def mixers(
    name: Annotated[
        str | None, typer.Argument(help="A mixer or a filter: print what it is and its options.")
    ] = None,
) -> None:
    """Print every mixer from no mixing to attention, and every filter that a convolution can take.

    docs/ladder.md has the formulas and sources.
    """
    from rich.console import Console

    console = Console()
    if name is None:
        from globalconv.commands.ladder_tables import filters_table, mixers_table

        console.print(mixers_table())
        console.print(filters_table())
        console.print(
            'Options: globalconv mixers NAME. In a study: --arms "global_conv[filter=s4d]".', markup=False
        )
        return
    from globalconv.commands.ladder_tables import description

    console.print(description(name), markup=False, highlight=False)
