"""Write the tables of docs/ladder.md from the classes: python docs/ladder.py. A test fails where the page is behind."""

import re
from pathlib import Path

from globalconv.commands.ladder_tables import causality_of, reach_of
from globalconv.display.numbers import count
from globalconv.filters import FILTERS
from globalconv.mixers import MIXERS
from globalconv.mixers.ladder import LENGTH, LONGER, RUNGS, WIDTH, described_options, facts, formula, phrase

PAGE = Path(__file__).with_name("ladder.md")


def mixers() -> str:
    """A row for each mixer."""
    rows: list[tuple[str, ...]] = [
        (
            "mixer",
            "adds to the one before",
            "formula",
            "sees",
            "causal",
            "content decides",
            "lookup",
            "cost",
            "parameters",
            f"flops of a token, {LENGTH} / {LONGER}",
            "decoding keeps",
            "options",
            "source",
        )
    ]
    for rung in RUNGS:
        found = facts(rung)
        can = found.properties
        rows.append(
            (
                f"`{rung.mixer}`",
                rung.adds,
                formula(MIXERS[rung.mixer]),
                reach_of(found),
                causality_of(found),
                "yes" if can.content_dependent else "",
                "yes" if can.looks_up else "",
                "L" if can.linear else "L^2",
                count(found.parameters),
                " / ".join(map(count, found.flops)),
                "all tokens, recomputed" if found.kept is None else " / ".join(map(count, found.kept)),
                _options(rung.mixer),
                rung.source,
            )
        )
    return _table(rows)


def filters() -> str:
    """A row for each filter."""
    rows = [("filter", "what it is", "formula", f"parameters, {WIDTH} channels, length {LENGTH}", "options")]
    for name, kind in FILTERS.items():
        parameters = sum(p.numel() for p in kind(WIDTH, LENGTH).parameters())
        rows.append((f"`{name}`", phrase(kind), formula(kind), count(parameters), _options(name)))
    return _table(rows)


def _options(name: str) -> str:
    return ", ".join(f"`{option}={default}`" for option, default in described_options(name).items())


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def page() -> str:
    """The page with its tables written again."""
    text = PAGE.read_text(encoding="utf-8")
    return _with(_with(text, "mixers", mixers()), "filters", filters())


def _with(text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name}: written by docs/ladder.py -->\n", f"<!-- end of {name} -->"
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text, found = place.subn(lambda _: begin + table + end, text)
    assert found == 1, f"docs/ladder.md has no place for the {name}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
