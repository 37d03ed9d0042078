"""Where a run was trained: what a sceptic needs to judge or repeat its numbers."""

import platform
from pathlib import Path

import torch

import globalconv
from globalconv.cores import usable_cores


def describe_environment(*, backend: str, device: str) -> dict[str, str]:
    """Versions, processor, threads, and the operator backend that was chosen, as words."""
    return {
        "globalconv": globalconv.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": str(usable_cores()),
        "threads per run": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "operator backend": backend,
    }


def processor_name() -> str:
    """The processor's name, as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
