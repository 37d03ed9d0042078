"""Where the shipped learning rates come from: every default arm swept at the default sizes.

    python studies/rates/recipe.py                       # about 20 minutes on 2 cores
    python studies/rates/recipe.py reverse=studies/reverse   # as a recorded study has swept it

Sweeps the built-in tasks that `globalconv compare` starts without a sweep, or those that are named, and writes
rates.json beside this file: task -> arm -> learning rate -> best validation metric (the mean, where a rate was run on
two seeds), with the machine. The presets (globalconv.study.design.presets.QUICK) ship what the sweep chose, or a
smaller rate within half a margin of the best: smaller rates vary less between seeds. A test compares the two.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from globalconv.display.progress import Progress
from globalconv.study.compare import compare
from globalconv.study.design.presets import QUICK
from globalconv.study.schema import StudyAnswer
from globalconv.study.spec import StudyRequest

HERE = Path(__file__).parent
TASKS = ("recall", "digits", "text")


def main() -> None:
    """Record the tasks named on the command line, or all of them."""
    file = HERE / "rates.json"
    recorded = json.loads(file.read_text()) if file.exists() else {}
    for named in sys.argv[1:] or TASKS:
        kind, _, study = named.partition("=")
        answer = read(Path(study)) if study else swept(kind)
        (task,) = answer.tasks
        recorded[kind] = {
            "metric": task.metric,
            "steps": task.arms[0].steps,
            "batch size": QUICK[kind].batch_size,
            "environment": answer.environment,
            "arms": {
                arm.arm: {f"{point.learning_rate:g}": point.value for point in arm.rates} for arm in task.arms
            },
        }
        file.write_text(json.dumps(recorded, indent=1) + "\n")


def read(study: Path) -> StudyAnswer:
    """What a study of one task at the preset's sizes has recorded."""
    return StudyAnswer.model_validate_json((study / "report.json").read_text())


def swept(kind: str) -> StudyAnswer:
    """A sweep of ``kind`` made for this; the one final run of each arm is not used."""
    request = StudyRequest(tasks=(kind,), steps=QUICK[kind].steps, sweep=True, seeds=1, budget_seconds=1799.0)
    with tempfile.TemporaryDirectory() as out:
        return compare(
            request, Path(out), command="", workers=os.cpu_count() or 1, progress=Progress(Console())
        )


if __name__ == "__main__":
    main()
