"""Studies that take a second, run as the command line runs them, and their files read back without our code."""

import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from globalconv import cli
from globalconv.study.report import write_report
from globalconv.study.schema import StudyAnswer
from globalconv.tasks.catalogue import _build as cached_task
from tests.tasks.examples import write_prose

TINY = ("--width", "8", "--heads", "2", "--depth", "2", "--batch-size", "4", "--budget", "29m")
"""Small models, and a budget that no machine is too slow for."""
FEW = (*TINY, "--steps", "4", "--seeds", "2", "--no-sweep")
SHORT_COSTS = "import globalconv.study.compare as c; c.COST_LENGTHS = [16]"
IN_A_PROCESS = (sys.executable, "-c", f"{SHORT_COSTS}; from globalconv.cli import main; main()")
"""The command in a process of its own, except that it measures the cost at one short length only."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@contextmanager
def brief(*, pictures: bool = False) -> Iterator[None]:
    """Studies with short cost curves; of the report, report.json alone unless ``pictures``: drawing takes longer than
    all the rest.
    """
    with (
        patch("globalconv.study.compare.COST_LENGTHS", [16]),
        patch("globalconv.study.run.write_report", write_report if pictures else _write_json),
    ):
        yield


def globalconv(*arguments: str | Path, pictures: bool = False) -> Ended:
    """``globalconv ARGUMENTS`` in this process, as a brief study."""
    out, err = io.StringIO(), io.StringIO()
    cached_task.cache_clear()  # a new process would read the data anew
    with (
        patch.object(sys, "argv", ["globalconv", *map(str, arguments)]),
        patch.object(sys, "path", [*sys.path]),
        patch.dict(os.environ),  # the command sets what its own processes inherit
        brief(pictures=pictures),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return Ended(code, out.getvalue(), err.getvalue())


def _write_json(answer: StudyAnswer, out: Path) -> Path:
    (out / "report.json").write_text(answer.model_dump_json(indent=2))
    return out / "report.html"


def prose(folder: Path, *, seed: int = 0, size: int = 8_000, name: str = "prose.txt") -> Path:
    """A text file."""
    return write_prose(folder / name, np.random.default_rng(seed), size)


def report_of(out: Path) -> Any:
    """What report.json says."""
    return json.loads((out / "report.json").read_text())


@dataclass(frozen=True)
class Run:
    """One run directory, as its files say."""

    path: Path
    spec: Any
    result: Any
    curve: Any


def runs_of(out: Path, **wanted: Any) -> list[Run]:
    """The complete runs under ``out`` whose spec has the ``wanted`` values, in the order of their seeds."""
    runs = []
    for file in out.glob("runs/*/result.json"):
        if ".broken-" in file.parent.name:
            continue
        spec = json.loads((file.parent / "spec.json").read_text())
        if all(spec[name] == value for name, value in wanted.items()):
            lines = (file.parent / "curve.jsonl").read_text().splitlines()
            curve = [json.loads(line) for line in lines]
            runs.append(Run(file.parent, spec, json.loads(file.read_text()), curve))
    return sorted(runs, key=lambda run: run.spec["seed"])


TIMES = {"seconds", "seconds_per_step", "train_seconds", "training_seconds", "wall_seconds", "started"}
"""What no two studies agree in: every field of report.json that was read off a clock ..."""
ALSO_TIMED = ("cost", "command", "config", "methods")
"""... the cost curves, the command as typed and as a file, and the methods, which name the number of workers."""


def without_times(report: Any) -> Any:
    """A report as two studies of one request must agree in it, to the last digit."""
    report = _drop(report, {*TIMES, *ALSO_TIMED})
    for task in report["tasks"]:
        task["rankings"] = [ranking for ranking in task["rankings"] if ranking["axis"] != "seconds"]
        for arm in task["arms"]:
            arm["flags"] = [flag for flag in arm["flags"] if "mind its times" not in flag]
    return report


def _drop(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {name: _drop(inner, names) for name, inner in value.items() if name not in names}
    if isinstance(value, list):
        return [_drop(inner, names) for inner in value]
    return value


def scores(runs: Sequence[Run]) -> list[Any]:
    """What a run must repeat to the last digit: every number that no clock gave."""
    return [
        (
            run.spec["arm"],
            run.spec["seed"],
            {name: value for name, value in run.result.items() if not name.startswith("seconds")},
            _drop(run.curve, {"seconds"}),
        )
        for run in sorted(runs, key=lambda run: run.path.name)
    ]
