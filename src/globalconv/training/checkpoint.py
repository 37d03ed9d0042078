"""Checkpoints in safetensors: tensors and JSON, nothing that runs when it is read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from globalconv.training.files import write_bytes


class BrokenCheckpoint(Exception):
    """A checkpoint that cannot be read back; the message says why."""


@dataclass
class Checkpoint:
    """Tensors by name, and what else there is to know as a JSON value."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` atomically. Raises InputError where the disk is full."""
    # Copies: tied weights are one memory under two names, which safetensors refuses.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in checkpoint.tensors.items()
    }
    write_bytes(path, save(tensors, metadata={"facts": json.dumps(checkpoint.facts)}))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises BrokenCheckpoint if the file is damaged or not one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, facts)  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read: {error}") from error


def check_checkpoint(path: Path) -> None:
    """Raise BrokenCheckpoint unless the file's header and length agree; the tensors are not read."""
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise BrokenCheckpoint(f"{path.name} cannot be read: {error}") from error


def training_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Everything a resumed run needs to go on as if never stopped: weights, moments, random state."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["random"] = torch.get_rng_state()
    return tensors


def restore_training_state(tensors: dict[str, Tensor], model: nn.Module, optimizer: Optimizer) -> None:
    """Put ``training_state`` back in place."""
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
