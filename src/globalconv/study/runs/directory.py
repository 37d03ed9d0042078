"""The directory of a study: its plan, its runs, and what happened on the way.

plan.json     what was asked and what was decided (spec.StudyPlan)
state.json    seconds used so far, seeds dropped, runs redone (StudyState)
cost.json     seconds against length of the mixers alone, on this machine
runs/HASH/    one directory per run (study.run_directory)
report.html, report.json, arms.csv, figures/    rebuilt from the above at any time
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from globalconv.display.numbers import format_bytes
from globalconv.errors import BrokenFile, InputError
from globalconv.host.atomic_files import make_directory, sweep_up, write_json
from globalconv.ranges import Seconds
from globalconv.study.runs.reading import read_json
from globalconv.study.schema import CostAnswer
from globalconv.study.spec import PLAN_VERSION, StudyPlan, StudyRequest

REHEARSAL = ".rehearsal-"
"""How the names of folders begin in which a report was written on trial; only a kill leaves one behind."""

WEIGHT_BYTES = 4
STATE_WEIGHTS = 4
"""An unfinished run keeps its weights, two moments of each, and the best so far."""
REPORT_BYTES = 30e6


class StudyState(BaseModel):
    """What happened since the plan was made."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    seconds: Seconds = 0.0
    """Wall-clock seconds of all sessions, from the first warm-up on."""
    dropped_seeds: list[int] = []
    redone: list[str] = []
    """One message for each run whose directory was broken and which was trained again."""
    complete: bool = False


class StudyDirectory:
    """A study on disk: what its files say, and that they are those of the same study."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"

    def create(self) -> None:
        """Make the directory. Raises InputError where that is impossible or something else lies there."""
        make_directory(self.path)

    def prepare(self) -> None:
        """Sweep up what killed sessions left, and make room for runs. For who holds the lock."""
        sweep_up(self.path)
        for rehearsal in self.path.glob(f"{REHEARSAL}*"):
            shutil.rmtree(rehearsal, ignore_errors=True)
        make_directory(self.runs)

    def check_space(self, plan: StudyPlan) -> None:
        """Raise InputError where the disk does not hold what the study keeps."""
        arms = [
            (arm.parameters, len(plan.seeds) + len(arm.rates) + 1) for task in plan.tasks for arm in task.arms
        ]
        kept = sum(parameters * runs for parameters, runs in arms)
        unfinished = plan.workers * STATE_WEIGHTS * max(parameters for parameters, _ in arms)
        needed = WEIGHT_BYTES * (kept + unfinished) + REPORT_BYTES
        free = shutil.disk_usage(self.path).free
        if needed > free:
            raise InputError(
                f"the study keeps about {format_bytes(needed)}, and the disk of {self.path} has {format_bytes(free)} "
                "left. Free some space, or name an --out on another disk."
            )

    def discard(self) -> None:
        """Remove what was made here, where it came to nothing: a directory with anything else in it stays."""
        (self.path / ".lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.runs.rmdir()
            self.path.rmdir()

    @property
    def is_report_alone(self) -> bool:
        """Whether the report was kept without its runs, as in this project's studies/: it cannot be rebuilt."""
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
            version = read_json(file, _Versioned).version
            if version != PLAN_VERSION:
                raise InputError(
                    f"{self.path} holds a study of another version of globalconv (plan {version}, this is "
                    f"{PLAN_VERSION}). Name another --out, or use the version that began it."
                )
            return read_json(file, _PlanFile)
        except BrokenFile as error:
            raise InputError(
                f"{self.path}: {error}. Name another --out, or remove the file to plan again; finished runs that fit "
                "the new plan are then used."
            ) from error

    def existing_plan(self) -> StudyPlan:
        """The plan of the study that must lie here. Raises InputError if there is none, or it is unusable."""
        plan = self.plan()
        if plan is None:
            raise InputError(
                f"{self.path} holds no study (no plan.json). Name the directory that `compare` printed."
            )
        return plan

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
        content = read_json(self.path / "plan.json", dict[str, Any])
        if content.pop("digest", None) not in (None, _digest(content)):  # plans from before have none
            raise InputError(
                f"{self.path / 'plan.json'} was changed since it was written, and runs are not trained by such a plan. "
                "Restore it, or name another --out."
            )
        return plan

    def write_plan(self, plan: StudyPlan) -> None:
        """Keep the plan: from now on the study resumes."""
        content = plan.model_dump(mode="json", include=set(StudyPlan.model_fields))
        write_json(self.path / "plan.json", content | {"digest": _digest(content)})

    def state(self, plan: StudyPlan) -> StudyState:
        """What happened so far; an empty state if nothing did, or if the file is broken (``redone`` then says so)."""
        file = self.path / "state.json"
        if not file.exists():
            return StudyState()
        try:
            state = read_json(file, StudyState)
            if not set(state.dropped_seeds) <= set(plan.seeds[1:]):
                raise BrokenFile(f"{file.name} cannot be read: dropped_seeds are not the plan's")
        except BrokenFile as error:
            return StudyState(redone=[f"{error}. The seconds used before are not counted."])
        return state

    def write_state(self, state: StudyState) -> None:
        """Keep the state."""
        write_json(self.path / "state.json", state.model_dump(mode="json"))

    def cost(self) -> CostAnswer | None:
        """The measured cost curves; None if they are not measured yet. Raises BrokenFile."""
        file = self.path / "cost.json"
        return read_json(file, CostAnswer) if file.exists() else None

    def write_cost(self, cost: CostAnswer) -> None:
        """Keep the cost curves."""
        write_json(self.path / "cost.json", cost.model_dump(mode="json"))


class _Versioned(BaseModel):
    """The version of a file, whichever it is."""

    version: int


class _PlanFile(StudyPlan):
    """A plan, and the digest of what it was when it was written."""

    digest: str | None = None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
