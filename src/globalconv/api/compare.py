"""``globalconv.compare`` and ``globalconv.open_study``."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from globalconv.study import run
from globalconv.study.given_arrays import Arrays, GivenArrays
from globalconv.study.opened import Study
from globalconv.study.request import command_of, study_asked_for, write_config
from globalconv.tasks.files import user_path

File = str | os.PathLike[str]


def compare(
    tasks: File | Sequence[File] | Arrays | None = None,
    /,
    *,
    arms: str | Sequence[str] | None = None,
    rival: str | None = None,
    depth: int | None = None,
    width: int | None = None,
    heads: int | None = None,
    design: str | None = None,
    match: str | None = None,
    metric: str | None = None,
    margin: float | None = None,
    label: str | None = None,
    groups: str | None = None,
    layout: str | None = None,
    validation: File | None = None,
    test: File | None = None,
    length: int | None = None,
    patch: int | None = None,
    vocabulary: int | None = None,
    data: File | None = None,
    beams: int | None = None,
    budget: str | float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    seeds: int | None = None,
    sweep: bool | None = None,
    device: str | None = None,
    precision: str | None = None,
    workers: int | None = None,
    out: File | None = None,
    config: File | None = None,
    save_config: File | None = None,
    verbose: bool = True,
) -> Study:
    """Train arms that differ only in the token mixer, write a report, and return the study.

    ``tasks``: a task, a file or a folder, or a list of them; or arrays in memory, (X, y) or a dict with the arrays of
    an .npz, which are saved in the study's directory. ``budget``: "10m", or seconds. Options are those of the command
    line (docs/compare.md). ``verbose``: print progress and the tables.

    The same call again resumes an interrupted study and reads a complete one. Raises InputError before any training
    if the study cannot work, and KeyboardInterrupt on Ctrl-C; finished runs are kept.
    """
    options = {name: value for name, value in locals().items() if value is not None}  # each by its name
    for apart in ("tasks", "save_config", "verbose"):
        options.pop(apart, None)
    names = _names(tasks)
    arrays = GivenArrays(tasks) if names is None else None
    if asked_for := (arrays.name,) if arrays else names:
        options["tasks"] = asked_for
    request, directory = study_asked_for(options)
    with arrays.kept_in(directory) if arrays else nullcontext() as file:
        if file is not None:
            request = request.model_copy(update={"tasks": (str(file),)})
        if save_config is not None:
            write_config(Path(save_config), request, directory)
        run.run_study(
            request, directory, command=command_of(request, directory), console=Console(quiet=not verbose)
        )
        return open_study(directory)


def open_study(directory: File) -> Study:
    """The study in ``directory``, complete or not: its verdicts, tables, figures and trained models.

    Raises InputError if there is no study, or one of an incompatible version.
    """
    return Study(user_path(os.fspath(directory)))


def _names(tasks: Any) -> tuple[str, ...] | None:
    """The tasks' names and paths; None for arrays."""
    if tasks is None:
        return ()
    given = [tasks] if isinstance(tasks, str | os.PathLike) else tasks
    if isinstance(given, list | tuple) and all(isinstance(task, str | os.PathLike) for task in given):
        return tuple(map(os.fspath, given))
    return None
