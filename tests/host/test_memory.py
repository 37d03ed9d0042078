"""What is free is the least that the machine, the control groups and the process's own limit leave."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from globalconv.host import memory
from globalconv.host.memory import free_memory

MB = 2**20


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a free gigabyte and no limits."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(memory, "_left_of_address_space", lambda: iter(()))
    machine = type("Machine", (), {"available": 1024 * MB})
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    return tmp_path


def put(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_groups_it_is_the_machines(groups: Path):
    assert free_memory() == 1024 * MB
    put(groups, membership="0::/")
    assert free_memory() == 1024 * MB


def test_groups_of_version_2(groups: Path):
    put(groups, membership="0::/job/step")
    put(groups / "cgroup" / "job" / "step", memory__max="max", memory__current=5 * MB)
    assert free_memory() == 1024 * MB
    put(groups / "cgroup" / "job", memory__max=300 * MB, memory__current=100 * MB)
    assert free_memory() == 200 * MB, "a group above counts too"
    put(groups / "cgroup" / "job", memory__stat=f"anon 7\ninactive_file {50 * MB}")
    assert free_memory() == 250 * MB, "files that would be forgotten are free"


def test_a_container_sees_its_group_as_the_root(groups: Path):
    put(groups, membership="0::/docker/1234")
    put(groups / "cgroup", memory__max=300 * MB, memory__current=290 * MB)
    assert free_memory() == 10 * MB


def test_groups_of_version_1(groups: Path):
    put(groups, membership="5:cpu,cpuacct:/\n4:memory:/slurm/job\n0::/")
    put(
        groups / "cgroup" / "memory" / "slurm",
        memory__limit_in_bytes=400 * MB,
        memory__usage_in_bytes=500 * MB,
    )
    assert free_memory() == 0
    put(groups / "cgroup" / "memory" / "slurm", memory__usage_in_bytes=100 * MB)
    assert free_memory() == 300 * MB


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_limit_on_the_address_space():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32));"
        "from globalconv.host.memory import free_memory; print(free_memory())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 0 < int(told) < 2**32
    assert free_memory() <= psutil.virtual_memory().total
