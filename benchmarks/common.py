"""What the scripts here have in common: their options, and where a record goes."""

import argparse
from pathlib import Path

from globalconv.host.machine import machine_facts
from globalconv.measure.record import to_json

RESULTS = Path(__file__).parent / "results"


def options(doc: str | None, *, name: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with what every script takes; ``doc`` is the script's docstring, ``name`` its record's."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS / f"{name}.json")
    return parser


def write_record(path: Path, doc: str | None, record: dict[str, object]) -> None:
    """Write ``record`` under its question and the machine, on which it was measured with one thread."""
    question = (doc or "").splitlines()[0]
    path.write_text(to_json({"question": question, "machine": machine_facts() | {"threads": 1}, **record}))
