"""How many cores this process may use: of the machine, of its container or job, and of its own limit."""

import os

from joblib import cpu_count


def usable_cores() -> int:
    """The least of what the machine has, the affinity (taskset), control groups (containers) and SLURM allow."""
    cores = int(cpu_count())
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(cores, int(allotted))) if allotted.isdecimal() else cores
