"""The report: everything a study has to say, for a reader with a minute and for one with an afternoon."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from globalconv.host.atomic_files import make_directory, write_bytes, write_text
from globalconv.study.report.arms_table import arms_table, slugs
from globalconv.study.runs.directory import REHEARSAL
from globalconv.study.schema import ArmAnswer, CurvePoint, Estimate, RatePoint, StudyAnswer

__all__ = ["rehearse", "write_report"]


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


def rehearse(answer: StudyAnswer, out: Path, write: Callable[[StudyAnswer, Path], object]) -> None:
    """``write`` the study's report with made-up scores into a folder of ``out`` that is removed again.

    ``answer`` is what the study can say before any run: its names, sizes and words. Raises what ``write`` raises.
    """
    tasks = [
        task.model_copy(update={"arms": [_trained(arm, is_rival=arm.arm == task.rival) for arm in task.arms]})
        for task in answer.tasks
    ]
    made_up = answer.model_copy(update={"tasks": tasks})
    with TemporaryDirectory(dir=out, prefix=REHEARSAL) as folder:
        write(made_up, Path(folder))


def _trained(arm: ArmAnswer, *, is_rival: bool) -> ArmAnswer:
    score = Estimate(mean=0.5, low=0.4, high=0.6, num_seeds=2)
    points = [CurvePoint(step=step, seconds=step, flops=1e9 * step, value=score) for step in (1, 2)]
    rates = [RatePoint(learning_rate=rate, value=0.5) for rate in (1e-3, 1e-2)]
    return arm.model_copy(
        update={
            "metric": score,
            "difference": None if is_rival else score,
            "curve": points,
            "rates": rates,
            "learning_rate": 1e-2,
        }
    )
