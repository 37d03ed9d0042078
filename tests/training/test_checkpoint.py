"""Checkpoints come back as they went, run no code, and say so when they are damaged."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from globalconv.training import fit
from globalconv.training.checkpoint import (
    BrokenCheckpoint,
    Checkpoint,
    check_checkpoint,
    load_checkpoint,
    restore_training_state,
    save_checkpoint,
    training_state,
)
from tests.training.fake_task import Halves, model, settings

FACTS = {"step": 3, "loss": 0.1 + 0.2, "score": math.nan, "words": "größer", "nested": {"list": [1, None]}}


def example(generator: torch.Generator) -> dict[str, torch.Tensor]:
    normal = torch.randn(5, 7, generator=generator)
    return {
        "matrix": normal,
        "turned": normal.T,
        "every other": normal[:, ::2],
        "double": normal.double(),
        "brain": normal.bfloat16(),
        "bytes": torch.get_rng_state(),
        "one": torch.tensor(3),
        "none": torch.zeros(0, 4),
    }


def test_everything_comes_back(tmp_path, generator):
    tensors = example(generator)
    save_checkpoint(tmp_path / "a.safetensors", Checkpoint(tensors, FACTS))
    back = load_checkpoint(tmp_path / "a.safetensors")
    assert back.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back.tensors[name].dtype == tensor.dtype
        assert torch.equal(back.tensors[name], tensor)
    assert repr(back.facts) == repr(FACTS)


def test_weights_that_share_memory_come_back(tmp_path):
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_checkpoint(tmp_path / "a.safetensors", Checkpoint(tied.state_dict(), {}))
    tensors = load_checkpoint(tmp_path / "a.safetensors").tensors
    assert torch.equal(tensors["0.weight"], tied[0].weight)
    assert torch.equal(tensors["1.weight"], tied[0].weight)


def test_there_is_room_for_tensors_and_json_only(tmp_path, frequent_checkpoints):
    """Eight bytes of length, a JSON header, and tensors that fill the rest without a gap: no pickle."""
    seen = set()

    def look(_: object) -> None:
        for path in tmp_path.iterdir():
            content = path.read_bytes()
            size = int.from_bytes(content[:8], "little")
            header = json.loads(content[8 : 8 + size])
            json.loads(header.pop("__metadata__")["facts"])
            spans = sorted(tensor["data_offsets"] for tensor in header.values())
            ends = [0, *(end for _, end in spans)]
            assert [start for start, _ in spans] == ends[:-1]
            assert 8 + size + ends[-1] == len(content)
            seen.add(path.name)

    fit(model(), Halves(), settings(), directory=tmp_path, seed=0, on_evaluation=look)
    assert seen == {"best.safetensors", "last.safetensors"}


def test_any_truncation_is_noticed(tmp_path, generator):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, Checkpoint(example(generator), FACTS))
    whole = path.read_bytes()
    for left in {*range(0, len(whole), 97), 1, 7, 8, 9, len(whole) - 1}:
        path.write_bytes(whole[:left])
        for read in (load_checkpoint, check_checkpoint):
            with pytest.raises(BrokenCheckpoint, match=r"a\.safetensors cannot be read"):
                read(path)


def test_garbage_is_noticed(tmp_path, generator):
    path = tmp_path / "a.safetensors"
    noise = torch.randint(256, (500,), generator=generator, dtype=torch.uint8)
    for content in (bytes(noise.tolist()), b"\0" * 500, b"{}", (2).to_bytes(8, "little") + b"{]"):
        path.write_bytes(content)
        with pytest.raises(BrokenCheckpoint):
            load_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"who": "somebody else"}, {"facts": "{no JSON"}], ids=str)
def test_a_file_that_is_not_ours_is_noticed(metadata, tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "a.safetensors", metadata=metadata)
    with pytest.raises(BrokenCheckpoint):
        load_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_what_is_no_file_is_noticed(name, tmp_path):
    with pytest.raises(BrokenCheckpoint):
        load_checkpoint(tmp_path / name)


def test_training_state_is_all_that_a_step_needs(tmp_path, generator):
    def trained(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        return net, torch.optim.AdamW(net.parameters(), lr=0.1)

    x = torch.randn(8, 3, generator=generator)

    def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()

    one, two = trained(1), trained(2)
    for _ in range(3):
        step(*one)
    save_checkpoint(tmp_path / "a.safetensors", Checkpoint(training_state(*one), {}))
    step(*one)
    restore_training_state(load_checkpoint(tmp_path / "a.safetensors").tensors, *two)
    step(*two)
    for a, b in zip(one[0].parameters(), two[0].parameters(), strict=True):
        assert torch.equal(a, b)
