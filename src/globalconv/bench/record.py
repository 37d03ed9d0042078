"""What was measured, as data: one row for each way in each case, written as JSON and CSV and read back."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from globalconv.bench.case import CASE_FIELDS, Case
from globalconv.bench.floor import Speeds
from globalconv.bench.machine import Allocator

Ended = Literal["complete", "interrupted", "out of time"]
QUESTION = (
    "How fast is the operator, against others' ways to the same result and against the machine's floor?"
)


@dataclass(frozen=True)
class Row:
    """One way in one case; times in milliseconds, of ``rounds`` calls.

    ``ratio`` is its time by that of ``ours``, the backend it was measured beside, as the median over the rounds: above
    1, ours is faster. ``low`` and ``high`` are quartiles, of the times, and of the ratios within a round.
    ``over_floor`` is the time by ``floor_ms``. ``error`` is the largest of those of y and of the gradients that are
    shaped like it, relative to float64. The last two are None for a way that computes something else.
    """

    case: Case
    way: str
    ours: str
    rounds: int
    ms: float
    ms_low: float
    ms_high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    floor_ms: float
    over_floor: float | None
    error: float | None


@dataclass(frozen=True)
class LeftOut:
    """A way that did not take part in a case, and why, as a phrase."""

    case: Case
    way: str
    why: str


@dataclass(frozen=True)
class Record:
    """All that one command measured."""

    machine: dict[str, str | int]
    allocator: Allocator
    elements: int
    rounds: int
    ways: dict[str, str]
    """What each way is, in words."""
    not_here: dict[str, str]
    """Ways that cannot run on this machine, and why."""
    speeds: list[Speeds]
    results: list[Row]
    left_out: list[LeftOut]
    ended: Ended


def record_to_json(record: Record) -> str:
    """The record, a line for each row."""
    parts = {
        **vars(record),
        "speeds": [asdict(speeds) for speeds in record.speeds],
        "results": [_flat(row) for row in record.results],
        "left_out": [_flat(left) for left in record.left_out],
    }
    return to_json({"question": QUESTION, **parts})


def record_from_json(text: str) -> Record:
    """The record that ``record_to_json`` wrote."""
    parts = json.loads(text)
    parts.pop("question")
    parts["speeds"] = [Speeds(**speeds) for speeds in parts["speeds"]]
    parts["results"] = [Row(**_nested(row)) for row in parts["results"]]
    parts["left_out"] = [LeftOut(**_nested(left)) for left in parts["left_out"]]
    return Record(**parts)


def record_to_csv(record: Record) -> str:
    """The rows alone, under one line of names."""
    return to_csv([_flat(row) for row in record.results])


def to_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """CSV of rows that have the same names, at least one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(record: Mapping[str, object]) -> str:
    """JSON with one line for each row of a list, so that a table reads and diffs as one."""
    parts = []
    for key, value in record.items():
        rows = ",\n  ".join(json.dumps(row) for row in value) if isinstance(value, list) else None
        parts.append(f" {json.dumps(key)}: " + (json.dumps(value) if rows is None else f"[\n  {rows}\n ]"))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _flat(row: Row | LeftOut) -> dict[str, Any]:
    return asdict(row.case) | {name: value for name, value in vars(row).items() if name != "case"}


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    return {"case": Case(**{name: row.pop(name) for name in CASE_FIELDS}), **row}
