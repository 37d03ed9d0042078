"""An estimate of how long probing takes, made before it begins: what a row costs, and how many are needed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from globalconv.probes.derivatives import pull_back, pull_back_twice
from globalconv.probes.memory import GRADIENT, ROWS, SECOND, VALUES
from globalconv.probes.subject import Subject

MANY, CALLS = 8, 2
"""Rows of an evaluation that is timed, beside one of a single row; and how often each is called."""
MOST_SECONDS = 0.5
"""For each of them."""


@dataclass(frozen=True)
class Pace:
    """Seconds of evaluating rows of a subject: ``seconds[needs]`` of a call, and of each row in it."""

    seconds: dict[int, tuple[float, float]]
    row_bytes: int
    memory: int

    def values(self, rows: int) -> float:
        """Seconds of ``rows`` outputs."""
        return self._of(VALUES, rows)

    def gradients(self, rows: int) -> float:
        """Seconds of ``rows`` steps back through the model."""
        return self._of(GRADIENT, rows)

    def second_derivatives(self, rows: int) -> float:
        """Seconds of ``rows`` steps back through the model and through that again."""
        return self._of(SECOND, rows)

    def _of(self, needs: int, rows: int) -> float:
        at_once = max(1, min(ROWS, self.memory // (needs * self.row_bytes)))
        call, row = self.seconds[needs]
        return math.ceil(rows / at_once) * call + rows * row


def pace_of(subject: Subject) -> Pace:
    """Time a few rows of each kind, as many as the memory holds anyway."""
    ones = torch.ones(1, *subject.output, dtype=torch.float64, device=subject.points.device)

    def forward(points: Tensor) -> Tensor:
        with torch.no_grad():
            return subject.function(points)

    def back(points: Tensor) -> Tensor:
        return pull_back(subject, points, ones.expand(len(points), -1, -1))

    def twice(points: Tensor) -> Tensor:
        return pull_back_twice(subject, points, ones.expand(len(points), -1, -1), torch.ones_like(points))[1]

    seconds: dict[int, tuple[float, float]] = {}
    for needs, call in ((VALUES, forward), (GRADIENT, back), (SECOND, twice)):
        try:
            one = _seconds(call, subject.points[:1])
        except (RuntimeError, NotImplementedError):  # no second derivatives: they are not taken then
            seconds[needs] = seconds[GRADIENT]
            continue
        many = int(min(MANY, MOST_SECONDS // max(one, 1e-9), subject.memory // (needs * subject.row_bytes)))
        row = one
        if many > 1:
            row = max(0.0, _seconds(call, subject.points[:1].expand(many, -1, -1)) - one) / (many - 1)
        seconds[needs] = max(0.0, one - row), row
    return Pace(seconds, subject.row_bytes, subject.memory)


def _seconds(call: Callable[[Tensor], Tensor], points: Tensor) -> float:
    """The shortest of a few calls, by the wall clock or by processor time, whichever other programs disturbed less.

    Not of the first, which plans and allocates.
    """
    began, least = time.perf_counter(), math.inf
    call(points)
    for _ in range(CALLS):
        clock, processor = time.perf_counter(), time.process_time()
        float(call(points).flatten()[0])  # waits for the device
        took = time.perf_counter() - clock
        least = min(least, took if points.is_cuda else min(took, time.process_time() - processor))
        if time.perf_counter() - began > MOST_SECONDS:
            break
    return least
