"""How the C library serves memory, which decides what large tensors cost."""

import os
import re
from typing import Literal

Allocator = Literal["default", "tuned"]
REUSED_BYTES = 1 << 30
"""Tensors up to here must be served from memory that is kept, for the allocator to be called tuned."""
TUNABLES = (
    "glibc.malloc.mmap_threshold=4294967296:"
    "glibc.malloc.trim_threshold=4294967296:"
    "glibc.malloc.top_pad=268435456"
)
"""The environment variable GLIBC_TUNABLES of the tuned regime."""


def allocator() -> Allocator:
    """Whether glibc keeps the memory of freed tensors ("tuned"), or gives it back ("default").

    By default it maps fresh memory for each tensor above 32 MB, and the page faults cost as much as the operator.
    It is read off the environment: GLIBC_TUNABLES counts when a process starts.
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
