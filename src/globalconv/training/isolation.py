"""Isolate a run from the caller's global settings, and restore them afterwards."""

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

from globalconv.errors import InputError
from globalconv.training.settings import Precision

_STATES = (PartialState, AcceleratorState, GradientState)
_LAUNCHERS = ("ACCELERATE_", "FSDP_", "DEEPSPEED_", "MEGATRON_LM_", "PMI_", "OMPI_", "MV2_")
_PROCESSES = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "FORK_LAUNCHED")
"""Environment variables from which Accelerate takes a launcher's precision, device and processes."""
_PATCHES = ("forward", "_original_forward", "_is_accelerate_prepared")
"""Attributes that ``Accelerator.prepare`` adds to a model and does not remove."""


@contextmanager
def undisturbed(*, seed: int, threads: int | None = None) -> Iterator[None]:
    """Run a block with generators of Python, NumPy and PyTorch seeded by ``seed``, in float32 on the CPU, with
    gradients.

    The caller's generators, default dtype and device, gradient mode, autocast and float32 precision have no effect
    inside and are restored when the block ends. With ``threads`` the same holds for the number of threads and for
    deterministic algorithms; otherwise the caller's are kept.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    num_threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", *(["cuda"] if devices else [])):
            stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # a device mode costs time in every call
            stack.enter_context(torch.device("cpu"))
        try:
            torch.set_default_dtype(torch.float32)
            torch.set_float32_matmul_precision("highest")
            if threads is not None:
                torch.set_num_threads(threads)
                torch.use_deterministic_algorithms(False)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002  # a mixer from outside may draw from it
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
            if threads is not None:
                torch.set_num_threads(num_threads)
                torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def own_accelerator(precision: Precision, *, cpu: bool = False) -> Iterator[Accelerator]:
    """An accelerator of one process, whatever a launcher or another accelerator set; theirs is restored afterwards.

    Accelerate keeps one device and one precision for the whole process. Raises InputError for an unsupported
    precision.
    """
    kept = [dict(state._shared_state) for state in _STATES]
    masked = {name: os.environ.pop(name) for name in list(os.environ) if _is_launchers(name)}
    for state in _STATES:
        state._shared_state.clear()
    try:
        try:
            accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
        except ValueError as error:
            raise InputError(
                f"precision '{precision}' is not supported here: {error}. Use --precision no"
            ) from error
        yield accelerator
    finally:
        for name in filter(_is_launchers, list(os.environ)):
            del os.environ[name]
        os.environ.update(masked)
        for state, before in zip(_STATES, kept, strict=True):
            state._shared_state.clear()
            state._shared_state.update(before)


@contextmanager
def patches_taken_back(model: nn.Module) -> Iterator[None]:
    """Restore the model's forward when the block ends: mixed precision wraps it."""
    before = {name: value for name, value in vars(model).items() if name in _PATCHES}
    try:
        yield
    finally:
        for name in _PATCHES:
            vars(model).pop(name, None)
        vars(model).update(before)


def _is_launchers(name: str) -> bool:
    return name.startswith(_LAUNCHERS) or name in _PROCESSES
