"""Shared fixtures: one thread per worker, fresh seeds that a failing test prints, and the device of ``--device``."""

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cpu", help="run what depends on the device there ('cuda'), and skip the rest"
    )


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--device")
    try:
        torch.zeros(1, device=name)
    except Exception as error:
        raise pytest.UsageError(f"--device {name}: {str(error).splitlines()[0]}") from error


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On another device only tests that ask for it run: the others would repeat what they do on the CPU."""
    name = config.getoption("--device")
    if torch.device(name).type == "cpu":
        return
    for item in items:
        if "device" not in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=f"does not depend on the device; --device {name}"))


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Where a test that depends on it runs: ``--device``."""
    name: str = request.config.getoption("--device")
    return name
