"""Where the shipped learning rates come from: every default arm swept at the default sizes.

    python studies/rates/recipe.py            # about 15 minutes on 2 cores

Sweeps each built-in task that `globalconv compare` starts without a sweep, and writes rates.json beside
this file: task -> arm -> learning rate -> best validation metric, with the machine. The presets
(globalconv.study.presets.QUICK) ship the best of each, or a smaller one within half a margin of it: one
seed cannot tell the two apart, and smaller rates vary less between seeds. A test compares the two.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from globalconv.study.compare import compare
from globalconv.study.presets import QUICK
from globalconv.study.progress import Progress
from globalconv.study.spec import StudyRequest

HERE = Path(__file__).parent
TASKS = ("recall", "digits", "text")


def main() -> None:
    """Sweep the tasks named on the command line, or all of them."""
    file = HERE / "rates.json"
    recorded = json.loads(file.read_text()) if file.exists() else {}
    for kind in sys.argv[1:] or TASKS:
        request = StudyRequest(
            tasks=(kind,), steps=QUICK[kind].steps, sweep=True, seeds=1, budget_seconds=1799.0
        )
        with tempfile.TemporaryDirectory() as out:
            answer = compare(
                request, Path(out), command="", workers=os.cpu_count() or 1, progress=Progress(Console())
            )
        task = answer.tasks[0]
        recorded[kind] = {
            "metric": task.metric,
            "steps": QUICK[kind].steps,
            "batch size": QUICK[kind].batch_size,
            "environment": answer.environment,
            "arms": {
                arm.arm: {f"{point.learning_rate:g}": point.value for point in arm.rates} for arm in task.arms
            },
        }
        file.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
