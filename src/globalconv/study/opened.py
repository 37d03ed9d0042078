"""A study on disk, for Python: verdicts, tables, figures, and the trained models back as modules."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import nn

from globalconv.errors import InputError, unknown_name
from globalconv.study.answer.gather import gather
from globalconv.study.report.arms_table import arm_rows
from globalconv.study.report.notebook import notebook_html
from globalconv.study.runs.arm_runs import runs_of_arm
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.runs.reading import reason
from globalconv.study.runs.trained import load_model
from globalconv.study.schema import StudyAnswer
from globalconv.study.spec import RunSpec, StudyPlan, TaskPlan
from globalconv.tasks import Text
from globalconv.tasks.text import byte_signature


class Study:
    """What a study's directory holds. Nothing is written and nothing is trained.

    ``path``: the directory. ``answer``: all that the report says, as data (docs/report-schema.md).
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where no study lies, or an unreadable one."""
        self.path = path
        self._directory = StudyDirectory(path)
        self._plan: StudyPlan | None = None
        if self._directory.is_report_alone:
            self.answer = _report_alone(path)
        else:
            self._plan = self._directory.existing_plan()
            self.answer = gather(self._directory, self._plan)

    @property
    def verdicts(self) -> dict[str, str]:
        """Task -> yes, hybrid, no, undecided or nothing learned."""
        return {task.task: task.verdict for task in self.answer.tasks}

    @cached_property
    def arms(self) -> Any:
        """A row for each task and arm, with the columns of arms.csv: a DataFrame, or without pandas a list of dicts."""
        return _table(arm_rows(self.answer))

    @cached_property
    def runs(self) -> Any:
        """A row for each final run, that is task, arm and seed: its status, its scores, its directory; as ``arms``.

        ``status``: finished, diverged, or missing where it has not ended. Scores are those of the best checkpoint, by
        the metric's name, on the splits test and validation.
        """
        return _table(list(self._run_rows()))

    @property
    def report(self) -> Path:
        """The report's page."""
        return self.path / "report.html"

    @property
    def figures(self) -> dict[str, Path]:
        """The report's figures as SVG files, by name; "summary" is the picture of the answer."""
        return {file.stem: file for file in sorted((self.path / "figures").glob("*.svg"))}

    def run_dir(self, arm: str, *, seed: int = 0, task: str | None = None) -> Path:
        """The directory of a finished final run, as ``globalconv.predict`` and ``globalconv.probe`` take it.

        ``task`` may be left out where the study has one. Raises InputError where there is no such run.
        """
        return self._directory.runs / self._spec(arm, seed, task).name

    def model(self, arm: str, *, seed: int = 0, task: str | None = None) -> nn.Module:
        """The trained model of a final run, at its best checkpoint: on the CPU, in eval mode.

        A classifier, a language model or an encoder-decoder (``globalconv.models``). Its data must be where it was,
        except a text. Raises InputError.
        """
        spec = self._spec(arm, seed, task)
        signature = (
            byte_signature(int(str(spec.task.options["length"])))
            if spec.task.kind == Text.kind
            else rebuild_task(spec.task).signature
        )
        return load_model(self._directory.runs / spec.name, spec.model, signature)

    def __repr__(self) -> str:
        said = ", ".join(f"{task}: {verdict}" for task, verdict in self.verdicts.items())
        return f"<Study {self.path}: {said}{', unfinished' if self.answer.unfinished else ''}>"

    def _repr_html_(self) -> str:
        summary = self.figures.get("summary")
        return notebook_html(self.answer, summary.read_bytes() if summary else None)

    def _planned(self) -> StudyPlan:
        if self._plan is None:
            raise InputError(f"{self.path} holds a report without the runs it was made from (runs/).")
        return self._plan

    def _run_rows(self) -> Iterator[dict[str, Any]]:
        plan = self._planned()
        for task in plan.tasks:
            for arm in task.arms:
                found = runs_of_arm(self._directory, plan, task, arm, self.answer.seeds, [])
                for seed in self.answer.seeds:
                    row = {"task": task.task.name, "arm": arm.arm, "seed": seed, "learning_rate": found.rate}
                    if found.rate is None:
                        yield row | {"status": "missing"}
                        continue
                    spec = plan.run(task, arm, rate=found.rate, seed=seed, purpose="final")
                    result = found.finished.get(seed)
                    if result is None:
                        yield row | {"status": "diverged" if seed in found.diverged else "missing"}
                        continue
                    yield row | {
                        "status": result.status,
                        **{f"test_{name}": value for name, value in result.test.items()},
                        **{f"validation_{name}": value for name, value in result.validation.items()},
                        "best_step": result.best_step,
                        "train_seconds": result.seconds,
                        "run_dir": str(self._directory.runs / spec.name),
                    }

    def _task(self, name: str | None) -> TaskPlan:
        tasks = {task.task.name: task for task in self._planned().tasks}
        if name is None and len(tasks) > 1:
            raise InputError(f"this study has several tasks; give task= one of {', '.join(tasks)}.")
        name = next(iter(tasks)) if name is None else name
        if name not in tasks:
            raise unknown_name("task", name, tasks)
        return tasks[name]

    def _spec(self, arm_name: str, seed: int, task_name: str | None) -> RunSpec:
        """The finished final run that is meant."""
        plan, task = self._planned(), self._task(task_name)
        arms = {arm.arm: arm for arm in task.arms}
        if arm_name not in arms:
            raise unknown_name(f"arm of {task.task.name}", arm_name, arms)
        found = runs_of_arm(self._directory, plan, task, arms[arm_name], self.answer.seeds, [])
        if seed not in found.finished:
            seeds = ", ".join(map(str, found.finished)) or "none"
            raise InputError(
                f"{arm_name} on {task.task.name} has no finished run with seed {seed}. Finished seeds: {seeds}."
            )
        assert found.rate is not None
        return plan.run(task, arms[arm_name], rate=found.rate, seed=seed, purpose="final")


def _report_alone(path: Path) -> StudyAnswer:
    try:
        return StudyAnswer.model_validate_json((path / "report.json").read_bytes())
    except (OSError, ValidationError) as error:
        why = reason(error) if isinstance(error, ValidationError) else error
        raise InputError(f"{path / 'report.json'} cannot be read: {why}.") from error


def _table(rows: list[dict[str, Any]]) -> Any:
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)
