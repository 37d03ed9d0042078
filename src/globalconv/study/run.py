"""From a request to a report on disk and a table on the terminal: what the commands do."""

from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from globalconv.display.progress import Progress
from globalconv.errors import InputError
from globalconv.host.cores import usable_cores
from globalconv.host.devices import device_line, resolve_device
from globalconv.ops import available_backends, choose_backend
from globalconv.options import LARGEST_LENGTH, LARGEST_WIDTH, check_range
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


def print_backends(
    *, length: int, num_taps: int, mode: str, device: str, batch: int, width: int, console: Console
) -> None:
    """A table of the operator's backends: what can run here, what is chosen, why not the others.

    ``device``: auto, or any that PyTorch knows, also one that is not here.
    """
    device = resolve_device(device) if device == "auto" else device
    for option, size, most in (
        ("--length", length, LARGEST_LENGTH),
        ("--taps", num_taps, 2 * LARGEST_LENGTH),
        ("--batch", batch, LARGEST_LENGTH),
        ("--width", width, LARGEST_WIDTH),
    ):
        check_range(option, size, 1, most)
    table = Table(
        "backend",
        "here",
        "what it is",
        f"for {mode}, {batch} x {length} x {width}, {num_taps} taps on {device}",
    )
    choice = choose_backend(
        device=device,
        dtype=torch.float32,
        length=length,
        num_taps=num_taps,
        mode=mode,  # type: ignore[arg-type]  # choose_backend refuses what is no mode
        batch=batch,
        width=width,
    )
    for backend in available_backends():
        here = "yes" if backend.obstacle is None else f"no: {backend.obstacle}"
        fate = "chosen" if backend.name == choice.name else f"passed over: {choice.passed_over[backend.name]}"
        table.add_row(backend.name, here, backend.merit, fate)
    console.print(table)
