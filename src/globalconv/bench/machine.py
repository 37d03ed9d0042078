"""What a reader needs to judge times by; nothing that names the machine."""

import os
import platform
import re
from typing import Literal

import torch

import globalconv
from globalconv.cores import usable_cores
from globalconv.study.environment import processor_name

Allocator = Literal["default", "tuned"]
REUSED_BYTES = 1 << 30
"""Tensors up to here must be served from memory that is kept, for the allocator to be called tuned."""
TUNABLES = (
    "glibc.malloc.mmap_threshold=4294967296:"
    "glibc.malloc.trim_threshold=4294967296:"
    "glibc.malloc.top_pad=268435456"
)
"""The environment variable GLIBC_TUNABLES of the tuned regime."""


def machine() -> dict[str, str | int]:
    """Processor, cores, system and versions."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "globalconv": globalconv.__version__,
    }


def allocator() -> Allocator:
    """Whether glibc keeps the memory of freed tensors ("tuned"), or gives it back ("default").

    By default it maps every tensor above 32 MB anew, and the page faults cost as much as the operator.
    Told from the environment: GLIBC_TUNABLES is read when a process starts.
    """
    given = dict(tunable.partition("=")[::2] for tunable in os.environ.get("GLIBC_TUNABLES", "").split(":"))
    kept = (given.get(f"glibc.malloc.{name}_threshold", "0") for name in ("mmap", "trim"))
    return "tuned" if all(_number(value) >= REUSED_BYTES for value in kept) else "default"


def without_paths(text: str) -> str:
    """``text`` with every file named by its last part alone, and on one line: an error's, fit to be recorded."""
    return re.sub(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/:'\"()]+)+[\\/]", "", " ".join(text.split()))


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return 0
