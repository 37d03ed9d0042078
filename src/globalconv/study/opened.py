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
from globalconv.study.runs.arm_runs import ArmRuns, arms_of
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.runs.reading import reason
from globalconv.study.runs.run_directory import RunDirectory
from globalconv.study.runs.trained import load_model
from globalconv.study.schema import StudyAnswer
from globalconv.study.spec import StudyPlan
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
        return self._run(arm, seed, task).path

    def model(self, arm: str, *, seed: int = 0, task: str | None = None) -> nn.Module:
        """The trained model of a final run, at its best checkpoint: on the CPU, in eval mode.

        A classifier, a language model or an encoder-decoder (``globalconv.models``). Its data must be where it was,
        except a text. Raises InputError.
        """
        run = self._run(arm, seed, task)
        spec = run.spec
        signature = (
            byte_signature(int(str(spec.task.options["length"])))
            if spec.task.kind == Text.kind
            else rebuild_task(spec.task).signature
        )
        return load_model(run.path, spec.model, signature)

    def __repr__(self) -> str:
        said = ", ".join(f"{task}: {verdict}" for task, verdict in self.verdicts.items())
        return f"<Study {self.path}: {said}{', unfinished' if self.answer.unfinished else ''}>"

    def _repr_html_(self) -> str:
        from globalconv.study.report.html import notebook_html  # which loads matplotlib

        summary = self.figures.get("summary")
        return notebook_html(self.answer, summary.read_bytes() if summary else None)

    def _arms(self) -> list[ArmRuns]:
        if self._plan is None:
            raise InputError(f"{self.path} holds a report without the runs it was made from (runs/).")
        return list(arms_of(self._directory, self._plan))

    def _run_rows(self) -> Iterator[dict[str, Any]]:
        for arm in self._arms():
            runs = {run.spec.seed: run for run in arm.read(self.answer.seeds).finals(self.answer.seeds)}
            for seed in self.answer.seeds:
                row = {
                    "task": arm.task.task.name,
                    "arm": arm.plan.arm,
                    "seed": seed,
                    "learning_rate": arm.rate,
                }
                result = arm.finished.get(seed)
                if result is None:
                    yield row | {"status": "diverged" if seed in arm.diverged else "missing"}
                    continue
                yield row | {
                    "status": result.status,
                    **{f"test_{name}": value for name, value in result.test.items()},
                    **{f"validation_{name}": value for name, value in result.validation.items()},
                    "best_step": result.best_step,
                    "train_seconds": result.seconds,
                    "run_dir": str(runs[seed].path),
                }

    def _run(self, arm_name: str, seed: int, task_name: str | None) -> RunDirectory:
        """The finished final run that is meant."""
        found = self._arms()
        tasks = list(dict.fromkeys(arm.task.task.name for arm in found))
        if task_name is None and len(tasks) > 1:
            raise InputError(f"this study has several tasks; give task= one of {', '.join(tasks)}.")
        task = tasks[0] if task_name is None else task_name
        if task not in tasks:
            raise unknown_name("task", task, tasks)
        arms = {arm.plan.arm: arm for arm in found if arm.task.task.name == task}
        if arm_name not in arms:
            raise unknown_name(f"arm of {task}", arm_name, arms)
        finished = arms[arm_name].read(self.answer.seeds).finished
        if seed not in finished:
            seeds = ", ".join(map(str, finished)) or "none"
            raise InputError(
                f"{arm_name} on {task} has no finished run with seed {seed}. Finished seeds: {seeds}."
            )
        return arms[arm_name].finals([seed])[0]


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
