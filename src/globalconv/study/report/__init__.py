"""The report: everything a study has to say, for a reader with a minute and for one with an afternoon."""

from pathlib import Path

from globalconv.host.atomic_files import make_directory, write_bytes, write_text
from globalconv.study.report.arms_table import arms_table, slugs
from globalconv.study.schema import StudyAnswer

__all__ = ["write_report"]


def write_report(answer: StudyAnswer, out: Path) -> Path:
    """Write ``report.html``, ``report.json``, ``arms.csv`` and ``figures/`` into ``out``; returns the page.

    Each file is written whole or not at all, the page last. The same answer gives the same bytes.
    Raises InputError where ``out`` cannot be written to, or the disk is full.
    """
    # Here and not above: matplotlib and jinja2 take half a second that no other command should pay.
    from globalconv.study.report.figures import figure_files
    from globalconv.study.report.html import page

    names = slugs(task.task for task in answer.tasks)
    make_directory(out / "figures")
    write_text(out / "report.json", answer.model_dump_json(indent=2) + "\n")
    write_text(out / "arms.csv", arms_table(answer))
    for name, content in figure_files(answer, names):
        write_bytes(out / "figures" / name, content)
    write_text(out / "report.html", page(answer, names))
    return out / "report.html"
