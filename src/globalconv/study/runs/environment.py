"""Where a run was trained: what a sceptic needs to judge or repeat its numbers."""

import platform

import torch

from globalconv.host.cores import usable_cores
from globalconv.host.machine import processor_name
from globalconv.version import __version__


def describe_environment(*, backend: str, device: str) -> dict[str, str]:
    """Versions, processor, threads, and the operator backend that was chosen, as words."""
    return {
        "globalconv": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": str(usable_cores()),
        "threads per run": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "operator backend": backend,
    }
