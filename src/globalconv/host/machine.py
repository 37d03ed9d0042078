"""The facts about the machine that a reader of timings needs; nothing that identifies it."""

import platform
from pathlib import Path

import torch

from globalconv.host.cores import usable_cores
from globalconv.version import __version__


def machine_facts() -> dict[str, str | int]:
    """Processor, cores, system and versions."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "globalconv": __version__,
    }


def processor_name() -> str:
    """The name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
