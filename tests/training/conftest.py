"""A fresh state of Accelerate for each test, and checkpoints at will."""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps one state per process, whose precision cannot be changed."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def fit_module() -> ModuleType:
    """The module; its name in the package is that of the function."""
    return import_module("globalconv.training.fit")


@pytest.fixture
def frequent_checkpoints(fit_module, monkeypatch) -> None:
    """A checkpoint at every evaluation."""
    monkeypatch.setattr(fit_module, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
