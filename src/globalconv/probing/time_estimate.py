"""Estimate how long probing takes before it starts: the time of one row, times the number of rows."""

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
"""Rows of the larger timed evaluation (the other has one row), and the number of timed calls of each."""
MOST_SECONDS = 0.5
"""The time limit of each."""


@dataclass(frozen=True)
class Pace:
    """``seconds[needs]``: the seconds of a call, and of each row in it."""

    seconds: dict[int, tuple[float, float]]
    row_bytes: int
    memory: int

    def values(self, rows: int) -> float:
        """Seconds of ``rows`` outputs."""
        return self._of(VALUES, rows)

    def gradients(self, rows: int) -> float:
        """Seconds of ``rows`` backward passes."""
        return self._of(GRADIENT, rows)

    def second_derivatives(self, rows: int) -> float:
        """Seconds of ``rows`` double backward passes."""
        return self._of(SECOND, rows)

    def _of(self, needs: int, rows: int) -> float:
        at_once = max(1, min(ROWS, self.memory // (needs * self.row_bytes)))
        call, row = self.seconds[needs]
        return math.ceil(rows / at_once) * call + rows * row


def pace_of(subject: Subject) -> Pace:
    """Time a few rows of each kind, at most as many as the memory limit allows."""
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
        except (RuntimeError, NotImplementedError):  # no second derivatives, so they will not be used
            seconds[needs] = seconds[GRADIENT]
            continue
        many = int(min(MANY, MOST_SECONDS // max(one, 1e-9), subject.memory // (needs * subject.row_bytes)))
        row = one
        if many > 1:
            row = max(0.0, _seconds(call, subject.points[:1].expand(many, -1, -1)) - one) / (many - 1)
        seconds[needs] = max(0.0, one - row), row
    return Pace(seconds, subject.row_bytes, subject.memory)


def _seconds(call: Callable[[Tensor], Tensor], points: Tensor) -> float:
    """The shortest of a few calls, by wall-clock or processor time, whichever other programs disturbed less.

    The first call, which plans and allocates, is not counted.
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
