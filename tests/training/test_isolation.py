"""A run hangs on its arguments alone, and leaves the caller's process as it was."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from globalconv.training import fit
from tests.training.fake_task import Halves, model, settings


def noisy() -> nn.Module:
    """A model that draws in every forward pass, as dropout does, from all three generators."""
    net = model()

    def draw(_: nn.Module, __: object, logits: Tensor) -> Tensor:
        return logits + 0.1 * torch.randn(logits.shape) + 0.1 * random.random() + 0.1 * np.random.rand()  # noqa: NPY002

    net.register_forward_hook(draw)
    return net


def trained(directory: Path, **changes: object) -> dict[str, Tensor]:
    net = noisy()
    outcome = fit(net, Halves(), settings(**changes), directory=directory, seed=3)
    assert outcome.status == "finished"
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def variables(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@contextmanager
def seeded() -> Iterator[None]:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    yield


@contextmanager
def imprecise() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


@contextmanager
def accelerated() -> Iterator[None]:
    mine = Accelerator(mixed_precision="bf16", cpu=True)
    yield
    assert mine.mixed_precision == "bf16"
    assert mine.state.device.type == "cpu"


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "double": lambda: default_dtype(torch.float64),
    "half": lambda: default_dtype(torch.bfloat16),
    "meta device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "other seeds": seeded,
    "imprecise products": imprecise,
    "another accelerator": accelerated,
    "a launcher's precision": lambda: variables(ACCELERATE_MIXED_PRECISION="bf16", ACCELERATE_USE_CPU="true"),
    "a launcher's nonsense": lambda: variables(
        ACCELERATE_MIXED_PRECISION="four", ACCELERATE_TORCH_DEVICE="no"
    ),
    "one of many processes": lambda: variables(LOCAL_RANK="3", RANK="3", WORLD_SIZE="8", PMI_SIZE="8"),
    "gradients gathered": lambda: variables(ACCELERATE_GRADIENT_ACCUMULATION_STEPS="4"),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_what_the_caller_set_makes_no_difference_and_stays(name: str, tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain")
    net = noisy()
    with SURROUNDINGS[name]():
        before = state_of_the_process()
        fit(net, Halves(), settings(), directory=tmp_path / "other", seed=3)
        assert state_of_the_process() == before
    assert all(torch.equal(tensor, plain[key]) for key, tensor in net.state_dict().items())


def state_of_the_process() -> list[object]:
    return [
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        dict(os.environ),
    ]


def test_precisions_follow_each_other_and_leave_no_trace_in_the_model(tmp_path: Path) -> None:
    full = trained(tmp_path / "a")
    half = trained(tmp_path / "b", precision="bf16")
    again = trained(tmp_path / "c")
    assert all(torch.equal(tensor, again[name]) for name, tensor in full.items())
    assert not all(torch.equal(tensor, half[name]) for name, tensor in full.items())
    net = model()
    (batch,) = Halves().evaluation_batches("test", batch_size=1000)
    fit(net, Halves(), settings(precision="bf16"), directory=tmp_path / "d", seed=0)
    untouched = model()
    untouched.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net(batch.inputs), untouched.eval()(batch.inputs)) or net.training
    fit(net, Halves(), settings(), directory=tmp_path / "e", seed=0)
    net.eval()
    untouched.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(net(batch.inputs), untouched.eval()(batch.inputs)), "as if never wrapped"
