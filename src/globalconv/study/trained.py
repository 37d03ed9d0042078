"""Trained models, back from their runs' directories."""

from pathlib import Path

import torch
from pydantic import ValidationError

from globalconv.errors import InputError
from globalconv.models import Classifier, EncoderDecoder, LanguageModel
from globalconv.study.build import build_model
from globalconv.study.execute import check_sources
from globalconv.study.run_directory import reason
from globalconv.study.spec import ModelSpec, RunSpec
from globalconv.tasks.base import Signature
from globalconv.training import load_best
from globalconv.training.checkpoint import BrokenCheckpoint


def read_spec(path: Path) -> RunSpec:
    """What was run in the directory ``path``. InputError unless it is that of a run with weights."""
    if not (path / "spec.json").exists() or not (path / "best.safetensors").exists():
        raise InputError(
            f"{path} is not the directory of a run with weights (spec.json, best.safetensors). Those of a study are "
            "in its runs/."
        )
    try:
        return RunSpec.model_validate_json((path / "spec.json").read_bytes())
    except (ValidationError, OSError) as error:
        raise InputError(
            f"{path / 'spec.json'} cannot be read ({reason(error)}): name another run."
        ) from error


def load_model(
    path: Path, spec: ModelSpec, signature: Signature
) -> Classifier | LanguageModel | EncoderDecoder:
    """The model of ``spec`` with the weights in ``path``, in eval mode. InputError where they do not fit."""
    check_sources(spec)
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec, signature)
    try:
        load_best(path, model)
    except (BrokenCheckpoint, RuntimeError) as error:
        raise InputError(f"the weights in {path} cannot be used ({error}): name another run.") from error
    return model.eval()
