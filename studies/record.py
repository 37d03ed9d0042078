"""Keep a finished study's report in the repository, and put its answer where pages have a place for it.

    python studies/record.py DIR NAME         # DIR: a study's directory; kept under studies/NAME
    python studies/record.py                  # only write the pages anew, from what is kept

Copies what a reader needs (report, pictures, plan), not the runs' weights. The README says the sentences of the default
study, docs/answer.md the tables of every study that it has a place for.
"""

import shutil
import sys
from pathlib import Path

import pages

KEPT = ("report.html", "report.json", "arms.csv", "plan.json", "cost.json", "figures")


def keep(source: Path, name: str) -> None:
    """Copy the report in ``source`` to studies/``name``."""
    target = pages.HERE / name
    target.mkdir(exist_ok=True)
    for kept in KEPT:
        if (source / kept).is_dir():
            shutil.copytree(source / kept, target / kept, dirs_exist_ok=True)
        else:
            shutil.copy(source / kept, target / kept)


def write_pages() -> None:
    """Put the recorded answers into the pages."""
    studies = [folder.parent.name for folder in sorted(pages.HERE.glob("*/report.json"))]
    for page, block in ((pages.README, pages.sentences), (pages.ANSWER, pages.tables)):
        text = page.read_text()
        for study in studies:
            text = pages.written_into(text, study, block(study))
        page.write_text(text)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        keep(Path(sys.argv[1]), sys.argv[2])
    elif len(sys.argv) != 1:
        sys.exit(__doc__)
    write_pages()
