"""Devices and their memory."""

import torch

from globalconv.errors import InputError, unknown_name
from globalconv.host.memory import usable_memory

DEVICES = ("auto", "cpu", "cuda")


def resolve_device(name: str) -> str:
    """The device for ``auto``, ``cpu`` or ``cuda``; ``auto`` is cuda if available.

    Raises InputError for another name, and for cuda if PyTorch sees no CUDA device.
    """
    if name not in DEVICES:
        raise unknown_name("--device", name, DEVICES)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this PyTorch sees no CUDA device. Use --device cpu.")
    return name


def device_line(device: str) -> str:
    """The first line of every command: "Device: cuda (NVIDIA H100)."."""
    return f"Device: {device}{f' ({torch.cuda.get_device_name()})' if device == 'cuda' else ''}."


def device_memory(device: str) -> float:
    """Bytes of a resolved device's memory, used or not; on the CPU the memory that this process may use."""
    if device == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return float(usable_memory())
