"""Peak memory: bytes of live tensors on a CPU, the allocator's own count on a GPU.

The resident size of the process is not used: it holds the interpreter, the libraries and whatever the
allocator keeps, never shrinks, and so tells the history of the process rather than the cost of a call.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def peak_bytes(action: Callable[[], Any], *, device: str) -> int:
    """Peak bytes that ``action`` takes on ``device`` beyond what was there: of tensors, or on CUDA of all."""
    if torch.device(device).type != "cuda":
        return peak_tensor_bytes(action)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    action()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def peak_tensor_bytes(action: Callable[[], Any]) -> int:
    """Peak bytes of the tensors that ``action`` creates while it runs, each storage counted once.

    Counted at every operation, forward and backward, so it is the same in every run and on every
    machine with the same kernels; what a kernel allocates and frees inside itself is not seen.
    """
    with _LiveBytes() as live:
        action()
    return live.peak


class _LiveBytes(TorchDispatchMode):
    """Follows storages from the operation that made them to the end of their last tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = {t.untyped_storage() for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in inputs:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.now -= size
