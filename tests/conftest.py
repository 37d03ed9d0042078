"""Shared fixtures: one thread per worker, and fresh seeds that a failing test prints."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# Numba's cache asks whether the file of a kernel changed, not whether those did that it calls: keyed by all
# of them, no test runs a kernel of yesterday. Set before Numba is imported; studies in subprocesses inherit it.
_KERNELS = Path(__file__).parents[1] / "src/globalconv/ops/fused_cpu"
_DIGEST = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(_KERNELS.glob("*.py")))).hexdigest()[
    :12
]
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"globalconv-kernels-{_DIGEST}"))

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
