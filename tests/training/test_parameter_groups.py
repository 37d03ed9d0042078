"""Who is decayed, and who learns at which rate."""

import pytest
import torch
from torch import nn

from globalconv.filters import Filter
from globalconv.mixers import MIXERS, Attention, GatedConv, GlobalConv, Synthesizer, TokenMLP
from globalconv.models import Classifier, LanguageModel
from globalconv.training.parameter_groups import parameter_groups
from tests.mixers.builds import built


def groups_of(model: nn.Module) -> dict[str, dict]:
    groups = parameter_groups(model, learning_rate=0.5, taps_rate_factor=3.0, weight_decay=0.25)
    return {group["name"]: group for group in groups}


def names_in(model: nn.Module, group: str) -> set[str]:
    members = {id(p) for p in groups_of(model).get(group, {"params": []})["params"]}
    return {name for name, p in model.named_parameters() if id(p) in members}


def hybrid() -> Classifier:
    mixers = [
        GlobalConv(8, 12),
        Attention(8, 12, positions="learned"),
        GatedConv(8, 12),
        TokenMLP(8, 12),
    ]
    return Classifier(3, mixers, mlp_width=6, vocabulary=5)


MODELS = {
    name: lambda name=name: Classifier(3, [built(name, 8, 12)], mlp_width=6, channels=2) for name in MIXERS
}
MODELS |= {
    "hybrid": hybrid,
    "language model": lambda: LanguageModel(
        5, [GatedConv(8, 12, causal=True)] * 1, mlp_width=6, positions=True
    ),
    "a linear layer": lambda: nn.Linear(3, 2),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_exactly_one_group(name):
    model = MODELS[name]()
    members = [id(p) for group in groups_of(model).values() for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_taps_are_a_group_of_their_own(name):
    model = MODELS[name]()
    expected = {
        f"{prefix}.{own}"
        for prefix, module in model.named_modules()
        if isinstance(module, Filter)
        for own, _ in module.named_parameters()
    }
    assert names_in(model, "taps") == expected
    assert ("taps" in groups_of(model)) == bool(expected)


def test_rates_and_decays():
    groups = groups_of(hybrid())
    found = {name: (group["lr"], group["weight_decay"]) for name, group in groups.items()}
    assert found == {"matrices": (0.5, 0.25), "vectors": (0.5, 0.0), "taps": (1.5, 0.0)}


@pytest.mark.parametrize("name", MODELS)
def test_only_matrices_are_decayed(name):
    model = MODELS[name]()
    for group in groups_of(model).values():
        assert (group["weight_decay"] > 0) == (group["name"] == "matrices")
    matrices = {
        f"{prefix}.weight".removeprefix(".")
        for prefix, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    matrices |= {
        f"{prefix}.scores" for prefix, module in model.named_modules() if isinstance(module, Synthesizer)
    }
    assert names_in(model, "matrices") == matrices - names_in(model, "taps")  # a filter may be a network


def test_embeddings_and_positions_are_vectors():
    vectors = names_in(hybrid(), "vectors")
    assert {"embed.weight", "position.position", "stack.blocks.1.mixer.position"} <= vectors


def test_a_name_that_only_ends_like_a_position_is_no_position():
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decomposition = nn.Parameter(torch.zeros(2, 2))

    assert names_in(Mixes(), "matrices") == {"decomposition"}


def test_a_shared_parameter_is_trained_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert sum(len(group["params"]) for group in groups_of(model).values()) == 3
