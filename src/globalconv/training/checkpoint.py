"""Checkpoints in safetensors: tensors and JSON; loading one runs no code."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from globalconv.errors import BrokenFile
from globalconv.host.atomic_files import write_bytes
from globalconv.models.encoder_decoder import current_names


class BrokenCheckpoint(BrokenFile):
    """A checkpoint that cannot be read back; the message says why."""


@dataclass
class Checkpoint:
    """Tensors by name, and metadata as a JSON value."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` atomically. Raises InputError if the disk is full."""
    # Copies: tied weights share memory under two names, which safetensors refuses.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in checkpoint.tensors.items()
    }
    write_bytes(path, save(tensors, metadata={"facts": json.dumps(checkpoint.facts)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises BrokenCheckpoint if the file is damaged or not one of ours."""
    with _opened(path) as file:
        facts = json.loads((file.metadata() or {})["facts"])
        if not isinstance(facts, dict):
            raise BrokenCheckpoint(f"{path.name} cannot be read: its metadata is not a JSON object")
        return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, facts)  # noqa: SIM118


def check_checkpoint(path: Path) -> None:
    """Raise BrokenCheckpoint unless the file's header and length agree; the tensors are not read."""
    with _opened(path):
        pass


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a checkpoint's tensors into ``model``. Raises BrokenCheckpoint if they do not fit it."""
    tensors = current_names(load_checkpoint(path).tensors)
    misfit(path, tensors, model.state_dict())
    model.load_state_dict(tensors)


def misfit(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise BrokenCheckpoint unless the tensors have the names, shapes and types of ``expected``."""
    for name in sorted(tensors.keys() | expected.keys()):
        found, wanted = (
            f"{str(one[name].dtype).removeprefix('torch.')} {tuple(one[name].shape)}"
            if name in one
            else "none"
            for one in (tensors, expected)
        )
        if found != wanted:
            raise BrokenCheckpoint(
                f"{path.name} does not fit the model: {name} is {found} instead of {wanted}"
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        if not path.is_file():  # a pipe would never end
            raise BrokenCheckpoint(f"{path.name} cannot be read: it is missing or not a file")
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read: {error}") from error


def training_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Everything that a resumed run needs to continue exactly: weights, moments, random state."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    return tensors


def restore_training_state(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: Optimizer) -> None:
    """Restore a ``training_state`` that ``check_training_state`` accepted."""
    model.load_state_dict(
        {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(tensors["random"])


def check_training_state(
    path: Path, tensors: Mapping[str, Tensor], model: nn.Module, optimizer: Optimizer
) -> None:
    """Raise BrokenCheckpoint unless ``tensors`` are a ``training_state`` of this model and this AdamW.

    A parameter without a gradient has no moments.
    """
    expected = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    parameters = (p for group in optimizer.param_groups for p in group["params"])
    for index, parameter in enumerate(parameters):
        own = f"optimizer.{index}."
        if any(name.startswith(own) for name in tensors):
            expected |= {
                f"{own}exp_avg": parameter,
                f"{own}exp_avg_sq": parameter,
                f"{own}step": torch.zeros(()),
            }
    expected["random"] = torch.get_rng_state()
    misfit(path, tensors, expected)
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_rng_state(tensors["random"])
        except RuntimeError as error:
            raise BrokenCheckpoint(f"{path.name} cannot be read: {error}") from error
