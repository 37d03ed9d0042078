"""The number of cores that this process may use, limited by the machine, its container or job, and its affinity."""

import os

from joblib import cpu_count


def usable_cores() -> int:
    """The minimum of the machine's cores and the limits of affinity (taskset), control groups (containers) and
    SLURM."""
    cores = int(cpu_count())
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, min(cores, int(allotted))) if allotted.isdecimal() else cores
