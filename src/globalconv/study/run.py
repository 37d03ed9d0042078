"""From a request to a report on disk and a table on the terminal: what the commands do."""

from pathlib import Path

from rich.console import Console

from globalconv.display.progress import Progress
from globalconv.errors import InputError
from globalconv.host.cores import usable_cores
from globalconv.host.devices import device_line, resolve_device
from globalconv.study.answer.gather import gather
from globalconv.study.compare import compare
from globalconv.study.report import write_report
from globalconv.study.report.terminal import print_answer
from globalconv.study.runs.directory import StudyDirectory
from globalconv.study.spec import StudyRequest


def run_study(request: StudyRequest, out: Path, *, command: str, console: Console) -> None:
    """Carry out or resume a study, write its report, print its table."""
    device = resolve_device(request.device)
    if request.precision == "fp16" and device == "cpu":
        raise InputError("--precision fp16 needs a GPU. Use bf16, or no.")
    request = request.model_copy(update={"device": device})
    console.print(device_line(device), highlight=False)
    workers = request.workers or (1 if device != "cpu" else usable_cores())
    answer = compare(
        request, out, command=command, workers=workers, progress=Progress(console), write=write_report
    )
    print_answer(answer, console, write_report(answer, out))


def rebuild_report(directory: Path, *, console: Console) -> None:
    """Write the report again from a study's directory. Raises InputError if none lies there."""
    study = StudyDirectory(directory)
    if study.is_report_alone:
        raise InputError(
            f"{directory} holds a report, but not the runs that it was made from (runs/): it is left as it is. "
            "Open its report.html, or run the study's command with another --out for runs of your own."
        )
    answer = gather(study, study.existing_plan())
    print_answer(answer, console, write_report(answer, directory))
