"""Trained models, back from their runs' directories."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from globalconv.errors import BrokenFile, InputError
from globalconv.models import Classifier, EncoderDecoder, LanguageModel
from globalconv.study.design.build import build_model
from globalconv.study.runs.execute import check_sources
from globalconv.study.runs.reading import read_json
from globalconv.study.spec import ModelSpec, RunSpec
from globalconv.tasks.base import Signature
from globalconv.training import load_best

MOST_SHOWN = 8
"""Runs in a message."""


def read_spec(path: Path, *, kinds: Sequence[str] = ()) -> RunSpec:
    """What was run in the directory ``path``. InputError unless it is that of a run with weights.

    For a study's directory the error lists its final runs, with ``kinds`` only those on such tasks.
    """
    if not (path / "spec.json").exists() or not (path / "best.safetensors").exists():
        for study in (path, path.parent):  # or its runs/
            if (study / "plan.json").exists():
                raise InputError(_runs_to_choose(path, study, kinds))
        raise InputError(
            f"{path} is not the directory of a run with weights (spec.json, best.safetensors). Those of a study are "
            "in its runs/."
        )
    try:
        spec = read_json(path / "spec.json", RunSpec)
        # A copy may be called as one likes.
        if len(path.name) == len(spec.name) and path.parent.name == "runs" and path.name != spec.name:
            raise BrokenFile("spec.json does not match the directory's name")
    except BrokenFile as error:
        raise InputError(f"{path}: {error}. Name another run.") from error
    return spec


def _runs_to_choose(path: Path, study: Path, kinds: Sequence[str]) -> str:
    """The message where ``path`` is a study's directory and not a run's."""
    if not (study / "runs").is_dir():
        return (
            f"{path} is not a run's directory, and this study's runs/ is not there: only its report was kept. Its "
            "command, with another --out, trains them again."
        )
    runs = [(spec, run) for spec, run in _final_runs(study / "runs") if not kinds or spec.task.kind in kinds]
    on = f" on {' or '.join(kinds)}" if kinds else ""
    if not runs:
        return f"{path} is not a run's directory, and this study has no finished final run{on} with weights."
    # By seeds, so that the first few show every arm.
    runs.sort(key=lambda found: (found[0].seed, found[0].task.name, found[0].arm))
    lines = [
        f"{shlex.quote(str(run))}  {spec.arm} on {spec.task.name}, seed {spec.seed}"
        for spec, run in runs[:MOST_SHOWN]
    ]
    if len(runs) > MOST_SHOWN:
        lines.append(f"and {len(runs) - MOST_SHOWN} more")
    return "\n  ".join([f"{path} is not a run's directory. Name one of this study's final runs{on}:", *lines])


def _final_runs(runs: Path) -> list[tuple[RunSpec, Path]]:
    """The finished final runs with weights in the directory ``runs``; what cannot be read is left out."""
    found = []
    for path in runs.iterdir():
        # One that was set aside as broken no longer has its spec's name.
        with suppress(BrokenFile):
            spec = read_json(path / "spec.json", RunSpec)
            whole = (path / "result.json").exists() and (path / "best.safetensors").exists()
            if whole and spec.purpose == "final" and path.name == spec.name:
                found.append((spec, path))
    return found


def load_model(
    path: Path, spec: ModelSpec, signature: Signature
) -> Classifier | LanguageModel | EncoderDecoder:
    """The model of ``spec`` with the weights in ``path``, in eval mode. InputError where they do not fit."""
    check_sources(spec)
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec, signature)
    try:
        load_best(path, model)
    except BrokenFile as error:
        raise InputError(f"the weights in {path} cannot be used ({error}): name another run.") from error
    return model.eval()
