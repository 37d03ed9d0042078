"""What a causal mixer keeps of the tokens that it has read."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType
from typing import Self

import torch
from torch import Tensor, nn

from globalconv.errors import InputError

METHODS = (FunctionType, property, classmethod, staticmethod)
BUILDERS = ("__init__", "extra_repr")
"""Methods that say how a module is built, and do not change what its forward makes of what was built."""


def undifferentiated() -> AbstractContextManager[object]:
    """No gradients, and no inference tensors, which cannot be changed in place outside inference mode."""
    return _outside_inference_mode() if torch.is_inference_mode_enabled() else torch.no_grad()


@contextmanager
def _outside_inference_mode() -> Iterator[None]:
    with torch.inference_mode(False), torch.no_grad():
        yield


def dtype_of(module: nn.Module) -> torch.dtype | None:
    """The dtype of a module's parameters and buffers; None if it has none."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)


def is_exactly(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether ``module`` computes exactly what ``kind`` does: it is no subclass and has no hooks and no forward of
    its own."""
    return type(module) is kind and not is_changed(module)


def replaces_calls(module: nn.Module, method: str) -> bool:
    """Whether the module's ``method`` may be used instead of calling the module, because it matches its forward.

    It may not if the module has hooks or a forward of its own, or if its class is a subclass, with its own methods, of
    the class that defines ``method``. Then the module itself must be called.
    """
    lineage = type(module).__mro__
    owner = next((place for place, kind in enumerate(lineage) if method in vars(kind)), None)
    return owner is not None and not is_changed(module) and not any(map(_has_methods, lineage[:owner]))


def is_changed(module: nn.Module) -> bool:
    """Whether hooks, or a forward that was set on it, change what the module computes."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _has_methods(kind: type) -> bool:
    return any(isinstance(value, METHODS) for name, value in vars(kind).items() if name not in BUILDERS)


def holding(kept: Tensor, new: Tensor) -> Tensor:
    """``kept``, or a copy in a dtype that also holds ``new``: autocast may begin or end between two tokens."""
    if kept.dtype == new.dtype:
        return kept
    return kept.to(torch.promote_types(kept.dtype, new.dtype))


class MixerState(ABC):
    """The decoding state of one causal mixer for a batch of sequences.

    First ``prefill`` a prompt in parallel (optional), then ``step`` one token at a time. Every output equals that of
    ``mixer(x)`` at its position in the whole sequence, to rounding. At most ``longest`` tokens fit; ``count`` were
    read. There are no gradients. Under autocast the outputs are those of ``mixer(x)`` under autocast. A state may be
    begun in inference mode and continued outside it, or the other way round.

    A state belongs to the weights with which it was begun: what is derived from them is computed once.
    """

    def __init__(self, *, width: int, batch: int, longest: int, dtype: torch.dtype | None) -> None:
        if batch < 1 or longest < 1:
            raise InputError(f"batch and longest must be at least 1, not {batch} and {longest}.")
        self.width = width
        self.dtype = dtype
        self.batch = batch
        self.longest = longest
        self.count = 0

    def prefill(self, x: Tensor) -> Tensor:
        """Read the prompt ``x`` (batch, n, width), n >= 0, in parallel; return its outputs in the same shape.

        Raises InputError if the shape does not fit, or if tokens were read before.
        """
        if x.ndim != 3 or (x.shape[0], x.shape[2]) != (self.batch, self.width):
            raise InputError(
                f"a prompt must have shape ({self.batch}, n, {self.width}), not {tuple(x.shape)}."
            )
        self._check_dtype(x)
        if self.count:
            raise InputError(
                f"{self.count} tokens were read already. Read the prompt first, or continue with step()."
            )
        if x.shape[1] > self.longest:
            raise InputError(
                f"the prompt has {x.shape[1]} tokens, but at most {self.longest} fit. Begin with a larger longest."
            )
        if x.shape[1] == 0:
            return x.clone()
        with undifferentiated():
            y = self._prefill(x)
        self.count = x.shape[1]
        return y

    def step(self, x: Tensor) -> Tensor:
        """The output for the next token ``x``, both (batch, width). Raises InputError if no more tokens fit."""
        if x.shape != (self.batch, self.width):
            raise InputError(f"a token must have shape ({self.batch}, {self.width}), not {tuple(x.shape)}.")
        self._check_dtype(x)
        if self.count == self.longest:
            raise InputError(
                f"{self.longest} tokens were read, and no more fit. Begin with a larger longest."
            )
        with undifferentiated():
            y = self._step(x)
        self.count += 1
        return y

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64, in that order; rows may repeat.

        The two states are independent.
        """
        chosen = copy.copy(self)
        chosen.batch = len(rows)
        with undifferentiated():
            chosen._keep(rows)
        return chosen

    def _check_dtype(self, x: Tensor) -> None:
        if self.dtype not in (None, x.dtype) and not torch.is_autocast_enabled(x.device.type):
            raise InputError(f"the weights are {self.dtype} but the input is {x.dtype}. Convert one of them.")

    @abstractmethod
    def _prefill(self, x: Tensor) -> Tensor:
        """``prefill`` of at least one token; the caller increases ``count``."""

    @abstractmethod
    def _step(self, x: Tensor) -> Tensor:
        """``step``; the caller increases ``count``. The result is a new tensor."""

    @abstractmethod
    def _keep(self, rows: Tensor) -> None:
        """Replace each tensor that steps change by a new one with these rows."""

    def flops(self) -> float | None:
        """Flops of a token of one sequence, 2 per multiply-add, the mean over ``longest`` tokens; None: not known.

        By formula: a few tokens of a convolution cost more than all others, so a count would have to decode them all.
        """
        return None

    @abstractmethod
    def numbers(self) -> int:
        """The number of values kept for the sequences: what grows with the batch, without what depends on weights
        alone."""
