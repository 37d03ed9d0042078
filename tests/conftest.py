"""Shared fixtures: one thread per worker, and fresh seeds that a failing test prints."""

import os
import secrets

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

settings.register_profile("default", deadline=None, max_examples=25, print_blob=True)
settings.load_profile("default")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed, shown when the test fails; GLOBALCONV_TEST_SEED=n repeats it."""
    value = int(os.environ.get("GLOBALCONV_TEST_SEED", secrets.randbelow(2**31)))
    request.node.add_report_section("setup", "seed", f"GLOBALCONV_TEST_SEED={value}")
    return value


@pytest.fixture
def generator(seed: int) -> torch.Generator:
    """A generator on the fresh seed."""
    return torch.Generator().manual_seed(seed)
