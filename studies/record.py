"""Keep a finished study's report in the repository, and put the answer of the default one into the README.

    python studies/record.py DIR NAME         # DIR: a study's directory; kept under studies/NAME

Copies what a reader needs (report, pictures, plan), not the runs' weights.
"""

import shutil
import sys
from pathlib import Path

from globalconv.study.answer import StudyAnswer

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN = "<!-- answer: written by studies/record.py from studies/default/report.json -->\n"
END = "<!-- end of answer -->"
KEPT = ("report.html", "report.json", "arms.csv", "plan.json", "cost.json", "figures")


def main(source: Path, name: str) -> None:
    """Copy the report in ``source`` to studies/``name``."""
    target = HERE / name
    target.mkdir(exist_ok=True)
    for kept in KEPT:
        if (source / kept).is_dir():
            shutil.copytree(source / kept, target / kept, dirs_exist_ok=True)
        else:
            shutil.copy(source / kept, target / kept)
    if name == "default":
        text = README.read_text()
        before, rest = text.split(BEGIN)
        README.write_text(before + BEGIN + answer_block(target) + END + rest.split(END, 1)[1])


def answer_block(study: Path) -> str:
    """The README's lines about a recorded study: each task's sentence, and the summary picture."""
    answer = StudyAnswer.model_validate_json((study / "report.json").read_text())
    sentences = "".join(f"- **{task.task}.** {task.sentence}\n" for task in answer.tasks)
    picture = f"![Each arm's difference to attention]({study.relative_to(HERE.parent)}/figures/summary.png)"
    return f"\n{sentences}\n{picture}\n\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
