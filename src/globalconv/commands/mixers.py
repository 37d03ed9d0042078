"""``globalconv mixers``."""

from typing import Annotated

import typer


def mixers(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A mixer or a filter, to see its options.")
    ] = None,
) -> None:
    """List the mixers, from no mixing to attention, and the filters; or explain one of them.

    Formulas and sources: docs/ladder.md.
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
