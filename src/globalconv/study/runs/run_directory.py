"""One directory per run, named by the hash of its spec: what is in it, and whether it can be trusted.

spec.json            what was run
environment.json     where: versions, processor, threads, operator backend
curve.jsonl          one line per evaluation: step, seconds, losses, validation metrics
best.safetensors     the weights that were best on validation
last.safetensors     only while unfinished: where to go on
step                 only while unfinished: how far it is, for the progress display
result.json          written last: its presence means the run is complete
inside.json          of some complete runs: what probes found in the trained model
"""

import json
import math
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from globalconv.errors import BrokenFile
from globalconv.host.atomic_files import make_directory, obstacles_explained, write_json, write_text
from globalconv.ranges import Amount, Count, Score, Seconds, Some
from globalconv.study.runs.reading import read_json, read_json_lines
from globalconv.study.schema import Confusion, ModelInside
from globalconv.study.spec import RunSpec
from globalconv.training.bootstrap import RESAMPLES
from globalconv.training.checkpoint import check_checkpoint
from globalconv.training.fit import Evaluation

SECONDS_BETWEEN_NOTES = 1.0


class RunResult(BaseModel):
    """What a complete run measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    status: Literal["finished", "diverged"]
    best_step: Count | None
    validation: dict[str, Score]
    """At the best step."""
    test: dict[str, Score]
    """At the best step; final runs only, scored once."""
    test_resampled: Annotated[list[Score], Field(max_length=RESAMPLES)] = []
    """The task's metric on test splits drawn again from the examples (``globalconv.training.bootstrap``)."""
    confusion: Confusion | None = None
    """The confusion matrix of a classification on the test split."""
    parameters: Count
    flops_per_token: Amount
    seconds: Seconds
    seconds_per_step: Some
    notices: list[str]


class RunDirectory:
    """The files of one run. Reading never repairs; ``BrokenFile`` says what is wrong.

    ``metric``: what the run must have been scored by, where its study is known.
    """

    def __init__(self, runs: Path, spec: RunSpec, metric: str | None = None) -> None:
        self.spec = spec
        self.path = runs / spec.name
        self.metric = metric
        self._noted_at = -math.inf

    def prepare(self, environment: dict[str, str]) -> None:
        """Make the directory and write what is known before training."""
        make_directory(self.path)
        write_json(self.path / "spec.json", self.spec.model_dump(mode="json"))
        write_json(self.path / "environment.json", environment)

    def note_step(self, step: int) -> None:
        """Note how far the run is, about once a second, for the progress display: worth no fsync and no error."""
        now = time.monotonic()
        if now - self._noted_at >= SECONDS_BETWEEN_NOTES:
            self._noted_at = now
            with suppress(OSError):
                (self.path / "step").write_text(str(step))

    def share_done(self) -> float:
        """The share of the steps that are done, by the last note; 0 where there is none."""
        file = self.path / "step"
        try:
            step = int(file.read_text()[:20]) if file.is_file() else 0
        except (OSError, ValueError):  # just being written
            step = 0
        return min(max(step / self.spec.training.steps, 0.0), 1.0)

    def finish(self, result: RunResult, curve: list[Evaluation]) -> None:
        """Write the curve, then the result that makes the run complete."""
        lines = [json.dumps(asdict(evaluation), allow_nan=False) for evaluation in curve]
        write_text(self.path / "curve.jsonl", "".join(line + "\n" for line in lines))
        write_json(self.path / "result.json", result.model_dump(mode="json"))
        (self.path / "step").unlink(missing_ok=True)

    def result(self) -> RunResult | None:
        """The result of a complete run; None of one that has none yet.

        Raises BrokenFile if any file is damaged that a reader, or the resumed run, would need, or if they do not
        fit together.
        """
        if not (self.path / "result.json").exists():
            if (self.path / "last.safetensors").exists():
                check_checkpoint(self.path / "last.safetensors")
            return None
        if read_json(self.path / "spec.json", RunSpec) != self.spec:
            raise BrokenFile("spec.json does not match the directory's name")
        self.environment()
        result = read_json(self.path / "result.json", RunResult)
        self._check_curve(result, self.curve())
        self._check_scores(result)
        if result.best_step is not None:
            check_checkpoint(self.path / "best.safetensors")
        return result

    def curve(self) -> list[Evaluation]:
        """The evaluations, in order. Raises BrokenFile."""
        return read_json_lines(self.path / "curve.jsonl", Evaluation)

    def environment(self) -> dict[str, str]:
        """Where the run was trained. Raises BrokenFile."""
        return read_json(self.path / "environment.json", dict[str, str])

    def inside(self) -> ModelInside | None:
        """What probes found in the trained model; None if it was not probed. Raises BrokenFile."""
        file = self.path / "inside.json"
        if not file.exists():
            return None
        inside = read_json(file, ModelInside)
        if inside.refused is None:
            if not inside.joint_effects:
                raise BrokenFile(f"{file.name} cannot be read: joint_effects is empty")
            if {len(row) for row in inside.influence} != {inside.length}:
                raise BrokenFile(f"{file.name} cannot be read: influence has other rows than its length")
            if inside.source_length is not None and inside.source_length >= inside.length:
                raise BrokenFile(f"{file.name} cannot be read: source_length leaves no target")
        return inside

    def write_inside(self, inside: ModelInside) -> None:
        """Keep what probes found."""
        write_json(self.path / "inside.json", inside.model_dump(mode="json"))

    def set_aside(self) -> Path:
        """Move a broken directory out of the way, keeping it for whoever wants to look."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
            number += 1
        with obstacles_explained(aside):
            self.path.rename(aside)
        return aside

    def _check_curve(self, result: RunResult, curve: list[Evaluation]) -> None:
        steps = [evaluation.step for evaluation in curve]
        due = self.spec.training.evaluation_steps()
        whole = steps == due if result.status == "finished" else steps == due[: len(steps)]
        if not whole:
            raise BrokenFile("curve.jsonl does not hold the evaluations of the whole run")
        if [e.seconds for e in curve] != sorted(e.seconds for e in curve):
            raise BrokenFile("curve.jsonl does not go forwards in time")
        for evaluation in curve:
            self._check_metric("curve.jsonl", evaluation.validation)

    def _check_scores(self, result: RunResult) -> None:
        if result.status == "finished":
            if result.best_step not in self.spec.training.evaluation_steps():
                raise BrokenFile("result.json cannot be read: best_step is no step of an evaluation")
            self._check_metric("result.json", result.validation)
            if self.spec.purpose == "final":
                self._check_metric("result.json", result.test)
        if len(result.test_resampled) not in (0, RESAMPLES):
            raise BrokenFile(f"result.json cannot be read: test_resampled does not have {RESAMPLES} scores")

    def _check_metric(self, file: str, scores: dict[str, float]) -> None:
        if self.metric is not None and self.metric not in scores:
            raise BrokenFile(f"{file} cannot be read: it has no {self.metric}")
