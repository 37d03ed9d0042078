"""How much memory this process may have and still take: of the machine, its container or job, and its own limit."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Bytes that can be had now: the least of what the machine has left, control groups (containers, SLURM) allow,
    and a limit on the process's address space (ulimit -v) leaves."""
    groups = (limit - used for limit, used in _groups())
    left = [psutil.virtual_memory().available, *groups, *_left_of_address_space()]
    return max(0, min(left))


def usable_memory() -> int:
    """Bytes that could be had if nothing else were running: as ``free_memory``, of all that there is."""
    return min(psutil.virtual_memory().total, *(limit for limit, _ in _groups()), *_address_space())


def _groups() -> Iterator[tuple[int, int]]:
    """(bytes allowed, bytes used) of every control group that this process is in, from its own up to the root."""
    for line in _text(MEMBERSHIP).splitlines():
        controllers, name = line.split(":", 2)[1:]
        if controllers and "memory" not in controllers.split(","):
            continue
        # Version 2 has one tree, and its controllers are not named; version 1 a tree for each.
        root = CGROUPS / "memory" if controllers else CGROUPS
        files = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if controllers
            else ("memory.max", "memory.current")
        )
        group = root / name.strip("/")
        # In a container the name may be that of the host's tree, of which only the root is to be seen.
        for folder in {group, *(up for up in group.parents if up.is_relative_to(root)), root}:
            limit, used = (_text(folder / file).strip() for file in files)
            if limit.isdigit() and used.isdigit():
                yield int(limit), int(used) - _forgettable(folder)


def _forgettable(folder: Path) -> int:
    """Bytes of files that the group's memory holds and would give up first."""
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
