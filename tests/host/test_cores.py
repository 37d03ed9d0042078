"""What this process may use, and not what the machine has."""

import os
import subprocess
import sys

import pytest

from globalconv.host.cores import usable_cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_bound_to_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from globalconv.host.cores import usable_cores; print(usable_cores())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "1"


@pytest.mark.parametrize(
    ("allotted", "left"), [("1", 1), ("5", 5), ("64", 8), ("", 8), ("many", 8), ("0", 1)]
)
def test_a_job_of_slurm_has_what_it_was_allotted(
    allotted: str, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalconv.host.cores.cpu_count", lambda: 8)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", allotted)
    assert usable_cores() == left
