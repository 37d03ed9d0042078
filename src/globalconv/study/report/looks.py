"""What a report's pictures share: the look of each arm, the colour of each verdict, labels and interval ends."""

import math
from itertools import chain, count

from globalconv.display.numbers import shortened
from globalconv.display.palette import Look, look
from globalconv.study.report.wording import metric_in_words
from globalconv.study.schema import Estimate, StudyAnswer

Looks = dict[str, Look]
NAME_LIMIT = 19

# The house's own arms look the same in every report, so that two reports can be laid side by side.
_USUAL = ("attention", "global_conv", "gated_conv", "token_mlp", "hybrid")


def looks_of(answer: StudyAnswer) -> dict[str, Look]:
    """Arm or mixer name -> its look, for every name that any picture of the report shows."""
    names = [arm.arm for task in answer.tasks for arm in task.arms]
    names += [curve.mixer for curve in answer.cost.curves] if answer.cost else []
    numbers = {name: number for number, name in enumerate(_USUAL) if name in names}
    # Others take the colours that no house arm has here; grey stays the rival's as long as there is choice.
    free = chain([5, 6], (number for number in range(1, 5) if number not in numbers.values()), count(7))
    for name in names:
        if name not in numbers:
            numbers[name] = next(free)
    return {name: look(numbers[name]) for name in dict.fromkeys(names)}


def metric_label(metric: str) -> str:
    """A metric as an axis calls it: 'bits per byte'."""
    return shortened(metric_in_words(metric), 24)


def interval_ends(estimate: Estimate) -> tuple[float, float]:
    """The ends of the line to draw; the mean where there is no interval."""
    low = estimate.mean if estimate.low is None or math.isnan(estimate.low) else estimate.low
    high = estimate.mean if estimate.high is None or math.isnan(estimate.high) else estimate.high
    return low, high
