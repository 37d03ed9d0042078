"""The ladder as tables, and one of its rungs in full."""

import inspect

from rich.box import SIMPLE
from rich.table import Table

from globalconv.display.numbers import count
from globalconv.errors import unknown_name
from globalconv.filters import FILTERS
from globalconv.mixers import MIXERS
from globalconv.mixers.ladder import LONGER, RUNGS, WIDTH, Facts, described_options, facts, phrase


def mixers_table() -> Table:
    """A row for each mixer, in the ladder's order."""
    title = f"Mixers (flops of a token, and what decoding keeps: width {WIDTH}, length {LONGER})"
    table = Table(box=SIMPLE, pad_edge=False, title=title, title_justify="left", padding=(0, 1, 0, 0))
    for column in ("mixer", "sees", "causal", "cost", "flops", "keeps", "adds to the one before"):
        table.add_column(column, no_wrap=column != "adds to the one before")
    for rung in RUNGS:
        found = facts(rung)
        table.add_row(
            rung.mixer,
            reach_of(found),
            causality_of(found),
            "L" if found.properties.linear else "L^2",
            count(found.flops[1]),
            "all" if found.kept is None else count(found.kept[1]),
            rung.adds,
        )
    return table


def reach_of(found: Facts) -> str:
    """How far a token sees in one layer."""
    return "all" if found.properties.whole_sequence else "near" if found.rung.mixer != "none" else "itself"


def causality_of(found: Facts) -> str:
    """Whether the mixer can be built causal, not causal, or both."""
    return {(True, True): "both", (True, False): "only", (False, True): "no"}[found.causal, found.whole]


def filters_table() -> Table:
    """A row for each filter."""
    table = Table(
        box=SIMPLE,
        pad_edge=False,
        title="Filters (filter=NAME of a convolution)",
        title_justify="left",
        padding=(0, 1, 0, 0),
    )
    for column in ("filter", "what it is", "options"):
        table.add_column(column, no_wrap=column == "filter")
    for name, kind in FILTERS.items():
        table.add_row(name, phrase(kind), ", ".join(described_options(name)))
    return table


def description(name: str) -> str:
    """What a mixer or a filter is, and its options with their defaults. Raises InputError for an unknown name."""
    if name not in MIXERS and name not in FILTERS:
        raise unknown_name("mixer or filter", name, {*MIXERS, *FILTERS})
    kind = MIXERS[name] if name in MIXERS else FILTERS[name]
    options = "".join(f"\n  {option}={default}" for option, default in described_options(name).items())
    takes = f"\n\nOptions and their defaults:{options}" if options else "\n\nIt takes no options."
    return f"{name}: {inspect.getdoc(kind)}{takes}"
