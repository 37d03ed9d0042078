"""Which parameters share a learning rate and a weight decay."""

from typing import Any

from torch import nn

from globalconv.filters import Filter


def parameter_groups(
    model: nn.Module, *, learning_rate: float, taps_rate_factor: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimizer groups: "matrices" (decayed), "vectors" (not) and "taps" (own rate, not decayed).

    Taps are whatever is trainable inside a ``Filter``. Vectors are biases, norms, skip weights,
    embeddings and positions: decay would pull them to zero without making the function simpler.
    """
    taps = {id(p) for m in model.modules() if isinstance(m, Filter) for p in m.parameters()}
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    groups: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "taps": []}
    for name, parameter in model.named_parameters():
        if id(parameter) in taps:
            groups["taps"].append(parameter)
        elif parameter.ndim < 2 or id(parameter) in tables or name.endswith("position"):
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
