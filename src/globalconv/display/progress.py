"""Progress of a running study: finished runs, progress of the others, time left."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from globalconv.display.numbers import format_duration

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_LINES = 30.0
TRUST = 0.02
"""The planned speed has the same weight as the speed seen over this share of the phase."""


class Progress:
    """A live bar on a terminal, and occasional lines elsewhere (a log, a pipe)."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """Print a permanent line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def phase(self, name: str, *, runs: int, seconds: float, unit: str = "runs") -> Iterator["Phase"]:
        """A phase of ``runs`` runs (or other ``unit``), expected to take ``seconds`` in total."""
        phase = Phase(self, name, runs, seconds, unit)
        if not self.console.is_terminal:
            with phase.looked_at():
                yield phase
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"))
        with Bar(*columns, console=self.console, transient=True) as bar:
            phase.bar = bar
            phase.bar_task = bar.add_task(name, total=max(seconds, 1e-9), status=phase.status())
            with phase.looked_at():
                yield phase


class Phase:
    """Counts runs and estimates the time left from the planned seconds and the speed so far."""

    def __init__(self, progress: Progress, name: str, runs: int, seconds: float, unit: str) -> None:
        self.progress, self.name, self.runs, self.seconds, self.unit = progress, name, runs, seconds, unit
        self.bar: Bar | None = None
        self.bar_task: TaskID | None = None
        self.done = 0
        self.worked = 0.0
        self.under_way: Callable[[], float] | None = None
        """A function: the planned seconds that the unfinished runs have completed; None: unknown."""
        self.started = self.line_at = time.monotonic()
        self.end = self.started + seconds
        self.seen = 0.0

    def advance(self, planned_seconds: float, *, runs: int = 1) -> None:
        """``runs`` more runs are done, which were planned to take ``planned_seconds``."""
        self.done += runs
        self.worked += planned_seconds
        self._expect(self.worked)
        self._show(now=self.done == self.runs)

    def look(self) -> None:
        """Update the progress of the runs."""
        if self.under_way is not None:
            self._expect(self.worked + self.under_way())
        self._show()

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """Update every second from another thread, while this one waits for runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(SECONDS_BETWEEN_LOOKS):
                self.look()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _expect(self, worked: float) -> None:
        """Estimate the end from the completed planned seconds ``worked``."""
        now, trust = time.monotonic(), TRUST * self.seconds
        self.seen = min(max(worked, 0.0), self.seconds)
        slowdown = (now - self.started + trust) / (self.seen + trust) if trust > 0 else 1.0
        self.end = now + slowdown * (self.seconds - self.seen)

    def _show(self, *, now: bool = False) -> None:
        if self.bar is not None and self.bar_task is not None:
            self.bar.update(self.bar_task, completed=self.seen, status=self.status())
        elif now or time.monotonic() - self.line_at >= SECONDS_BETWEEN_LINES:
            self.line_at = time.monotonic()
            self.progress.say(f"{self.name}: {self.status()}")

    def status(self) -> str:
        """The finished runs, the share of the phase completed, and the time left, as text."""
        runs = f"{self.done}/{self.runs} {self.unit}"
        if self.done >= self.runs:
            return f"{runs}, done"
        left = self.end - time.monotonic()
        until_done = f"about {format_duration(left)} left" if left >= 1 else "almost done"
        share = (
            f" ({self.seen / self.seconds:.0%} of the work)" if self.under_way and self.seconds > 0 else ""
        )
        return f"{runs}{share}, {until_done}"
