"""What was found, as data: one row for each point; written as JSON and CSV and read back."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

from globalconv.bench.floor import Speeds
from globalconv.bench.record import to_csv, to_json
from globalconv.cost.contenders import Pass

Ended = Literal["complete", "interrupted"]
Measure = Literal["flops", "bytes", "seconds"]
QUESTION = (
    "What does each token mixer cost here, and from which length on is a convolution cheaper than attention?"
)


@dataclass(frozen=True)
class Row:
    """One mixer at one size. Times are of ``rounds`` measurements, with quartiles; the rest is of one call.

    ``flops``, ``moved_bytes``, ``activation_bytes`` are the formulas', None for a mixer that has none (and in
    ``decode``, ``activation_bytes`` is what is cached); the speeds are those over the median.
    ``peak_bytes`` is measured, parameters not included.
    """

    phase: Pass
    width: int
    length: int
    mixer: str
    rounds: int
    ms: float
    ms_low: float
    ms_high: float
    flops: float | None
    flops_per_second: float | None
    moved_bytes: int | None
    bytes_per_second: float | None
    activation_bytes: int | None
    parameters: int
    peak_bytes: int


@dataclass(frozen=True)
class Stopped:
    """A curve that ended before the last length, and why."""

    phase: Pass
    width: int
    mixer: str
    why: str


@dataclass(frozen=True)
class Crossing:
    """From ``length`` on, ``mixer`` costs less than attention ``by`` that measure, up to ``longest``; None: nowhere.

    ``before`` and ``after``: the lengths between which it lies. ``before`` is None where it costs less
    from the first one on.
    """

    phase: Pass
    width: int
    mixer: str
    by: Measure
    length: float | None
    before: int | None
    after: int | None
    longest: int


@dataclass(frozen=True)
class Exponent:
    """Seconds grow as length^exponent over ``shortest`` to ``longest``; 95 % interval; ``flops``: as the flops do."""

    phase: Pass
    width: int
    mixer: str
    exponent: float
    low: float
    high: float
    flops: float | None
    shortest: int
    longest: int


@dataclass(frozen=True)
class Record:
    """All that one command found."""

    machine: dict[str, str | int]
    device: str
    threads: int
    mode: str
    batch: int
    heads: int | None
    rounds: int
    budget_seconds: float
    memory_bytes: float | None
    mixers: dict[str, str]
    left_out: dict[str, str]
    speeds: list[Speeds]
    results: list[Row]
    stopped: list[Stopped]
    crossovers: list[Crossing]
    scaling: list[Exponent]
    ended: Ended


_ROWS = {
    "speeds": Speeds,
    "results": Row,
    "stopped": Stopped,
    "crossovers": Crossing,
    "scaling": Exponent,
}


def record_to_json(record: Record) -> str:
    """The record, a line for each row."""
    rows = {name: [asdict(row) for row in getattr(record, name)] for name in _ROWS}
    return to_json({"question": QUESTION, **vars(record), **rows})


def record_from_json(text: str) -> Record:
    """The record that ``record_to_json`` wrote."""
    parts = json.loads(text)
    parts.pop("question")
    for name, kind in _ROWS.items():
        parts[name] = [kind(**row) for row in parts[name]]
    return Record(**parts)


def record_to_csv(record: Record) -> str:
    """The rows alone, under one line of names."""
    return to_csv([asdict(row) for row in record.results])
