"""Whether the disk holds what a study keeps."""

import shutil
from pathlib import Path

from globalconv.display.numbers import format_bytes
from globalconv.errors import InputError
from globalconv.study.spec import StudyPlan

WEIGHT_BYTES = 4
STATE_WEIGHTS = 4
"""An unfinished run keeps its weights, two moments of each, and the best so far."""
REPORT_BYTES = 30e6


def check_space(plan: StudyPlan, out: Path) -> None:
    """Raise InputError where the disk does not hold what the study keeps."""
    arms = [
        (arm.parameters, len(plan.seeds) + len(arm.rates) + 1) for task in plan.tasks for arm in task.arms
    ]
    kept = sum(parameters * runs for parameters, runs in arms)
    unfinished = plan.workers * STATE_WEIGHTS * max(parameters for parameters, _ in arms)
    needed, free = WEIGHT_BYTES * (kept + unfinished) + REPORT_BYTES, shutil.disk_usage(out).free
    if needed > free:
        raise InputError(
            f"the study keeps about {format_bytes(needed)}, and the disk of {out} has {format_bytes(free)} left. Free "
            "some space, or name an --out on another disk."
        )
