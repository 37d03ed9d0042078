"""Where a run was trained: what a sceptic needs to judge or repeat its numbers."""

import torch

from globalconv.host.machine import machine_facts


def describe_environment(*, backend: str, device: str) -> dict[str, str]:
    """Versions, processor, threads, and the operator backend that was chosen, as words."""
    facts = {name: str(fact) for name, fact in machine_facts().items()}
    return {
        **{name: facts[name] for name in ("globalconv", "python", "torch", "system")},
        "processor": facts["cpu"],
        "cores": facts["cores"],
        "threads per run": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "operator backend": backend,
    }
