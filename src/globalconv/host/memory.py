"""The memory that this process may use, limited by the machine, its container or job, and its address space."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Bytes that are available now: the minimum over the machine, control groups (containers, SLURM), and a limit on
    the process's address space (ulimit -v)."""
    groups = (limit - used for limit, used in _groups())
    left = [psutil.virtual_memory().available, *groups, *_left_of_address_space()]
    return max(0, min(left))


def usable_memory() -> int:
    """Bytes that would be available if nothing else were running: as ``free_memory``, but counting used memory too."""
    return min(psutil.virtual_memory().total, *(limit for limit, _ in _groups()), *_address_space())


def _groups() -> Iterator[tuple[int, int]]:
    """(bytes allowed, bytes used) of every control group of this process, from its own up to the root."""
    for line in _text(MEMBERSHIP).splitlines():
        controllers, name = line.split(":", 2)[1:]
        if controllers and "memory" not in controllers.split(","):
            continue
        # Version 2 has one tree with unnamed controllers; version 1 has a tree for each controller.
        root = CGROUPS / "memory" if controllers else CGROUPS
        files = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        group = root / name.strip("/")
        # In a container the path may be that of the host's tree, of which only the root is visible.
        for folder in {group, *(up for up in group.parents if up.is_relative_to(root)), root}:
            limit, used = (_text(folder / file).strip() for file in files)
            if limit.isdigit() and used.isdigit():
                yield int(limit), int(used) - _forgettable(folder)


def _forgettable(folder: Path) -> int:
    """Bytes of inactive page cache in the group, which the kernel reclaims first."""
    for line in _text(folder / "memory.stat").splitlines():
        name, _, size = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return int(size)
    return 0


def _left_of_address_space() -> Iterator[int]:
    for limit in _address_space():
        yield limit - psutil.Process().memory_info().vms


def _address_space() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
