"""One directory per run, named by the hash of its spec: what is in it, and whether it can be trusted.

spec.json            what was run
environment.json     where: versions, processor, threads, operator backend
curve.jsonl          one line per evaluation: step, seconds, losses, validation metrics
best.safetensors     the weights that were best on validation
last.safetensors     only while unfinished: where to go on
result.json          written last: its presence means the run is complete
inside.json          of some complete runs: what probes found in the trained model
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from globalconv.study.answer import Confusion, ModelInside
from globalconv.study.spec import RunSpec
from globalconv.training.checkpoint import BrokenCheckpoint, check_checkpoint
from globalconv.training.files import make_directory, write_json, write_text
from globalconv.training.fit import Evaluation

_WORDS = TypeAdapter(dict[str, str])


class RunResult(BaseModel):
    """What a complete run measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    status: Literal["finished", "diverged"]
    best_step: int | None
    validation: dict[str, float]
    """At the best step."""
    test: dict[str, float]
    """At the best step; final runs only, scored once."""
    test_resampled: list[float] = []
    """The task's metric on test splits drawn again from the examples (``globalconv.training.resampling``)."""
    confusion: Confusion | None = None
    """Of a classification's test split."""
    parameters: int
    flops_per_token: float
    seconds: float
    seconds_per_step: float
    notices: list[str]


class BrokenRun(Exception):
    """A run directory whose content is damaged; the message says how."""


class RunDirectory:
    """The files of one run. Reading never repairs; ``BrokenRun`` says what is wrong."""

    def __init__(self, runs: Path, spec: RunSpec) -> None:
        self.spec = spec
        self.path = runs / spec.name

    def prepare(self, environment: dict[str, str]) -> None:
        """Make the directory and write what is known before training."""
        make_directory(self.path)
        write_json(self.path / "spec.json", self.spec.model_dump(mode="json"))
        write_json(self.path / "environment.json", environment)

    def finish(self, result: RunResult, curve: list[Evaluation]) -> None:
        """Write the curve, then the result that makes the run complete."""
        lines = [json.dumps(_line(evaluation), allow_nan=False) for evaluation in curve]
        write_text(self.path / "curve.jsonl", "".join(line + "\n" for line in lines))
        write_json(self.path / "result.json", result.model_dump(mode="json"))

    def result(self) -> RunResult | None:
        """The result of a complete run; None of one that has none yet.

        Raises BrokenRun if any file is damaged that a reader, or the resumed run, would need.
        """
        if not (self.path / "result.json").exists():
            if (self.path / "last.safetensors").exists():
                self._check_weights("last")
            return None
        self._check_spec()
        self.environment()
        try:
            result = RunResult.model_validate_json((self.path / "result.json").read_bytes())
        except (ValidationError, OSError) as error:
            raise BrokenRun(f"result.json cannot be read: {reason(error)}") from error
        steps = [evaluation.step for evaluation in self.curve()]
        if result.status == "finished" and steps != self.spec.training.evaluation_steps():
            raise BrokenRun("curve.jsonl does not hold the evaluations of the whole run")
        if result.best_step is not None:
            self._check_weights("best")
        return result

    def curve(self) -> list[Evaluation]:
        """The evaluations, in order. Raises BrokenRun."""
        try:
            lines = (self.path / "curve.jsonl").read_text().splitlines()
            return [Evaluation(**json.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError) as error:
            raise BrokenRun(f"curve.jsonl cannot be read: {reason(error)}") from error

    def environment(self) -> dict[str, str]:
        """Where the run was trained. Raises BrokenRun."""
        try:
            return _WORDS.validate_json((self.path / "environment.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise BrokenRun(f"environment.json cannot be read: {reason(error)}") from error

    def inside(self) -> ModelInside | None:
        """What probes found in the trained model; None if nobody looked, or the file is broken."""
        try:
            return ModelInside.model_validate_json((self.path / "inside.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def write_inside(self, inside: ModelInside) -> None:
        """Keep what probes found."""
        write_json(self.path / "inside.json", inside.model_dump(mode="json"))

    def set_aside(self) -> Path:
        """Move a broken directory out of the way, keeping it for whoever wants to look."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
            number += 1
        self.path.rename(aside)
        return aside

    def _check_weights(self, which: str) -> None:
        try:
            check_checkpoint(self.path / f"{which}.safetensors")
        except BrokenCheckpoint as error:
            raise BrokenRun(str(error)) from error

    def _check_spec(self) -> None:
        try:
            found = RunSpec.model_validate_json((self.path / "spec.json").read_bytes())
        except (ValidationError, OSError) as error:
            raise BrokenRun(f"spec.json cannot be read: {reason(error)}") from error
        if found != self.spec:
            raise BrokenRun("spec.json does not match the directory's name")


def _line(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "step": evaluation.step,
        "seconds": evaluation.seconds,
        "train_loss": evaluation.train_loss,
        "validation": evaluation.validation,
    }


def reason(error: Exception) -> str:
    """Why a file cannot be read, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    return str(error).splitlines()[0]
