"""The directory of a study: its plan, its runs, and what happened on the way.

plan.json     what was asked and what was decided (study.spec.StudyPlan)
state.json    seconds used so far, seeds dropped, runs redone (StudyState)
cost.json     seconds against length of the mixers alone, on this machine
runs/HASH/    one directory per run (study.run_directory)
report.html, report.json, arms.csv, figures/    rebuilt from the above at any time
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from globalconv.errors import InputError
from globalconv.study.answer import CostAnswer
from globalconv.study.run_directory import BrokenRun, RunDirectory, RunResult, reason
from globalconv.study.spec import PLAN_VERSION, RunSpec, StudyPlan, StudyRequest
from globalconv.training.files import make_directory, write_json


class StudyState(BaseModel):
    """What happened since the plan was made."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = 0.0
    """Wall-clock seconds of all sessions, from the first warm-up on."""
    dropped_seeds: list[int] = []
    redone: list[str] = []
    """In words: runs whose directory was broken and which were trained again."""
    complete: bool = False


class StudyDirectory:
    """A study on disk. Opening one checks that it can be written and that it is the same study."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"

    def create(self) -> None:
        """Make the directory. Raises InputError where that is impossible or something else lies there."""
        make_directory(self.path)
        make_directory(self.runs)
        probe = self.path / ".writable"
        write_json(probe, True)
        probe.unlink()

    def discard(self) -> None:
        """Remove what `create` made, where it came to nothing: a directory with anything else in it stays."""
        (self.path / ".lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.runs.rmdir()
            self.path.rmdir()

    @property
    def is_report_alone(self) -> bool:
        """Whether the report was kept without its runs, as in this project's studies/: it cannot be made anew."""
        return (self.path / "report.json").exists() and not self.runs.is_dir()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the study for this process. Raises InputError if another process has it, or if it cannot be locked."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another globalconv is working in {self.path}. Wait for it, or name another --out."
            ) from None
        except (OSError, NotImplementedError) as error:
            raise InputError(
                f"{self.path} cannot be locked ({error}), and so not be kept to one process. Its file system may "
                "have no locks, as some network mounts: name an --out elsewhere."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def plan(self) -> StudyPlan | None:
        """The plan of the study that lies here; None if there is none. Raises InputError if unusable."""
        file = self.path / "plan.json"
        if not file.exists():
            return None
        try:
            version = json.loads(file.read_bytes()).get("version")
            if version != PLAN_VERSION:
                raise InputError(
                    f"{self.path} holds a study of another version of globalconv (plan {version}, this is "
                    f"{PLAN_VERSION}). Name another --out, or use the version that began it."
                )
            return StudyPlan.model_validate_json(file.read_bytes())
        except (ValidationError, ValueError, AttributeError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{file} cannot be read ({reason(error)}). Name another --out, or remove the file "
                "to plan anew; finished runs that fit the new plan are then used."
            ) from error

    def plan_of(self, request: StudyRequest) -> StudyPlan | None:
        """The plan that lies here if it answers ``request``; None if there is none yet.

        How many workers there are makes no difference to an answer, so a study may go on with others.
        Raises InputError for the plan of another study.
        """
        plan = self.plan()
        if plan is None:
            return None
        differing = [
            name
            for name in type(request).model_fields
            if name != "workers" and getattr(plan.request, name) != getattr(request, name)
        ]
        if differing == ["device"]:  # the same command may mean another device on another machine
            raise InputError(
                f"{self.path} holds a study that was planned on {plan.request.device}, and this command computes on "
                f"{request.device}. Give --device {plan.request.device} where there is one, or name another --out."
            )
        if differing:
            raise InputError(
                f"{self.path} holds another study: it differs in {', '.join(differing)}. Repeat its own "
                f"command to resume it ({plan.command}), or name another --out."
            )
        return plan

    def write_plan(self, plan: StudyPlan) -> None:
        """Keep the plan: from now on the study resumes instead of being planned anew."""
        write_json(self.path / "plan.json", plan.model_dump(mode="json"))

    def state(self) -> StudyState:
        """What happened so far; a fresh state if nothing did or the file is broken (it says so)."""
        file = self.path / "state.json"
        if not file.exists():
            return StudyState()
        try:
            return StudyState.model_validate_json(file.read_bytes())
        except (ValidationError, OSError):
            return StudyState(redone=["state.json was broken: the seconds used before are not counted"])

    def write_state(self, state: StudyState) -> None:
        """Keep the state."""
        write_json(self.path / "state.json", state.model_dump(mode="json"))

    def cost(self) -> CostAnswer | None:
        """The measured cost curves; None if they are not measured yet, or the file is broken."""
        try:
            return CostAnswer.model_validate_json((self.path / "cost.json").read_bytes())
        except (ValidationError, OSError):
            return None

    def write_cost(self, cost: CostAnswer) -> None:
        """Keep the cost curves."""
        write_json(self.path / "cost.json", cost.model_dump(mode="json"))

    def run(self, spec: RunSpec) -> RunDirectory:
        """The directory of one run."""
        return RunDirectory(self.runs, spec)

    def result(self, spec: RunSpec) -> RunResult | None:
        """The result of a run if it is complete and sound."""
        try:
            return self.run(spec).result()
        except BrokenRun:
            return None
