"""What a running study shows: runs done, time left."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from globalconv.quantities import format_duration

SECONDS_BETWEEN_LINES = 20.0


class Progress:
    """A live bar on a terminal, and a line now and then elsewhere (a log, a pipe)."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str, *, runs: int, seconds: float, unit: str = "runs") -> Iterator["Phase"]:
        """A stretch of ``runs`` runs, or of what else ``unit`` calls them, expected to take ``seconds`` in all."""
        phase = Phase(self, name, runs, seconds, unit)
        if not self.console.is_terminal:
            yield phase
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}, {task.fields[left]}"),
        )
        with Bar(*columns, console=self.console, transient=True) as bar:
            phase.bar = bar
            phase.bar_task = bar.add_task(name, total=runs, unit=unit, left=phase.time_left())
            yield phase


class Phase:
    """Counts runs, and expects the time left from the planned seconds and the speed so far."""

    def __init__(self, progress: Progress, name: str, runs: int, seconds: float, unit: str) -> None:
        self.progress, self.name, self.runs, self.seconds, self.unit = progress, name, runs, seconds, unit
        self.bar: Bar | None = None
        self.bar_task: TaskID | None = None
        self.done = 0
        self.worked = 0.0
        self.started = time.monotonic()
        self.line_at = self.started

    def advance(self, planned_seconds: float, *, runs: int = 1) -> None:
        """``runs`` more are done, which the plan had expected to take ``planned_seconds`` of the phase."""
        self.done += runs
        self.worked += planned_seconds
        if self.bar is not None and self.bar_task is not None:
            self.bar.update(self.bar_task, completed=self.done, left=self.time_left())
        elif time.monotonic() - self.line_at > SECONDS_BETWEEN_LINES or self.done == self.runs:
            self.line_at = time.monotonic()
            self.progress.say(f"{self.name}: {self.done}/{self.runs} {self.unit}, {self.time_left()}")

    def time_left(self) -> str:
        """In words."""
        left = self.seconds - self.worked
        if self.worked > 0:
            left *= (time.monotonic() - self.started) / self.worked
        if self.done >= self.runs:
            return "done"
        return f"about {format_duration(left)} left"
