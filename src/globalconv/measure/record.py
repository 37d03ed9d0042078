"""What was measured, as data: one row for each subject in each case, written as JSON and CSV and read back."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from pydantic import TypeAdapter

from globalconv.measure.case import Case, Phase
from globalconv.measure.crossover import Crossover
from globalconv.measure.roofline import Speeds
from globalconv.measure.scaling import Scaling

Ended = Literal["complete", "interrupted", "out of time"]
Measure = Literal["flops", "bytes", "seconds"]


@dataclass(frozen=True)
class Entry(Case):
    """A subject in a case."""

    subject: str

    @property
    def case(self) -> Case:
        """The case alone."""
        return Case(*(getattr(self, part.name) for part in fields(Case)))


@dataclass(frozen=True)
class Row(Entry):
    """What was measured of one subject in one case. What was not measured or does not apply is None.

    Times are milliseconds of a call (in decoding, of a token) over ``rounds`` measurements; ``low`` and ``high`` are
    quartiles. ``roofline_ms`` is the least time that this machine could take. ``ratio`` is the time by that of
    ``baseline`` within a round, the median over the rounds: above 1, the baseline is faster. ``error`` is that of y and
    of the gradients that are shaped like it, the largest, relative to float64. ``flops``, ``moved_bytes`` and
    ``activation_bytes`` are counted (in decoding, the last is what is cached); ``peak_bytes`` is measured, parameters
    not included.
    """

    rounds: int
    ms: float
    ms_low: float
    ms_high: float
    roofline_ms: float | None = None
    baseline: str | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    error: float | None = None
    flops: float | None = None
    moved_bytes: int | None = None
    activation_bytes: int | None = None
    parameters: int | None = None
    peak_bytes: int | None = None

    @property
    def over_roofline(self) -> float | None:
        """The time by the roofline."""
        return None if self.roofline_ms is None else float(f"{self.ms / self.roofline_ms:.3g}")

    @property
    def flops_per_second(self) -> float | None:
        """Over the median."""
        return None if self.flops is None else float(f"{1e3 * self.flops / self.ms:.4g}")

    @property
    def bytes_per_second(self) -> float | None:
        """Over the median."""
        return None if self.moved_bytes is None else float(f"{1e3 * self.moved_bytes / self.ms:.4g}")


DERIVED = ("over_roofline", "flops_per_second", "bytes_per_second")
"""Written for those who read the files, and computed again by those who read a record."""


@dataclass(frozen=True)
class LeftOut(Entry):
    """A subject that was not measured in a case, and the reason, as a phrase."""

    why: str


@dataclass(frozen=True)
class Crossing(Crossover):
    """Where ``subject`` costs less ``by`` that measure than the one all are compared with."""

    phase: Phase
    width: int
    subject: str
    by: Measure


@dataclass(frozen=True)
class Exponent(Scaling):
    """How the seconds of ``subject`` grow."""

    phase: Phase
    width: int
    subject: str


@dataclass(frozen=True)
class Record:
    """All that one command measured. ``settings``: its options; ``subjects``: what each one is; ``absent``: subjects
    that took no part at all, and why."""

    question: str
    machine: dict[str, str | int]
    settings: dict[str, Any]
    subjects: dict[str, str]
    absent: dict[str, str]
    speeds: list[Speeds]
    results: list[Row]
    left_out: list[LeftOut]
    ended: Ended
    crossovers: list[Crossing] = field(default_factory=list)
    scaling: list[Exponent] = field(default_factory=list)


def record_to_json(record: Record) -> str:
    """The record, a line for each row."""
    return to_json(asdict(record) | {"results": _columns(record.results)})


def record_from_json(text: str) -> Record:
    """The record that ``record_to_json`` wrote."""
    return TypeAdapter(Record).validate_json(text)


def record_to_csv(record: Record) -> str:
    """The rows alone, at least one, under one line of names."""
    rows = _columns(record.results)
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


def _columns(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Without the columns in which no row has anything."""
    whole = [asdict(row) | {name: getattr(row, name) for name in DERIVED} for row in rows]
    return [
        {name: row[name] for name in row if any(other[name] is not None for other in whole)} for row in whole
    ]
