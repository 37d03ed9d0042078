"""What a check of the mixers' contract is given: a way to build a mixer, and inputs to try it on."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from globalconv.errors import InputError
from globalconv.mixers.base import Mixer
from globalconv.ops import Mode

LENGTHS = (8, 5, 1)
"""Nominal lengths that are tried: even, prime, and one token."""
ROUNDING = 1e-12
"""What rounding may leave in float64 (2e-16), relative to a norm, after some thousands of operations."""


@dataclass(frozen=True)
class Trial:
    """One way to build a mixer, and the inputs to try it on. With a ``mode``, ``causal`` follows from it."""

    build: Callable[..., Mixer]
    width: int
    length: int
    causal: bool
    device: torch.device
    seed: int
    backend: str | None = None
    mode: Mode | None = None

    def mixer(self, *, seed: int = 0) -> Mixer:
        """A new mixer in float64, each seed another one."""
        return self.built(seed=seed).to(self.device).double()

    def built(self, *, seed: int = 0, **options: Any) -> Mixer:
        """A new mixer as its constructor leaves it; ``options``: other than the trial's ``causal`` or ``mode``."""
        torch.manual_seed(self.seed + seed)
        asked = {"causal": self.causal} if self.mode is None else {"mode": self.mode}
        named = {} if self.backend is None else {"backend": self.backend}
        made = self.build(self.width, self.length, **(options or asked), **named)
        assert isinstance(made, Mixer), f"{type(made).__name__} is no subclass of globalconv.mixers.Mixer"
        return made

    def takes(self, option: str) -> bool:
        """Whether the mixer is built with such an option."""
        return option in inspect.signature(self.build).parameters

    def normal(self, batch: int, length: int) -> Tensor:
        """Standard normal values, (batch, length, width), float64."""
        return torch.randn(batch, length, self.width, dtype=torch.float64, device=self.device)

    def lengths(self, mixer: Mixer) -> list[int]:
        """Input lengths below, at and above the nominal one, the latter only where the mixer takes them."""
        below = {1, self.length // 2, self.length - 1, self.length} - {0}
        above = [n for n in (self.length + 1, 2 * self.length + 1) if self._takes(mixer, n)]
        return sorted(below) + above

    def padded(self, mixer: Mixer) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches with the lengths of their rows: all different, at any length, and all equal."""
        for length in self.lengths(mixer):
            rows = sorted({length, 1, max(1, length // 2), max(1, length - 1)}, reverse=True)
            yield self.normal(len(rows), length), torch.tensor(rows, device=self.device)
        equal = torch.full((4,), max(1, self.length - 2), device=self.device)
        yield self.normal(4, self.length), equal

    def is_refused(self) -> bool:
        """Whether such a mixer cannot be built, and InputError says so. What else goes wrong is for the checks."""
        try:
            self.mixer()
        except InputError:
            return True
        except Exception:
            return False
        return False

    def described(self) -> str:
        """How to build this trial's mixer again."""
        how = f"causal={self.causal}" if self.mode is None else f"mode='{self.mode}'"
        return f"width={self.width}, length={self.length}, {how}, seed={self.seed}"

    def _takes(self, mixer: Mixer, length: int) -> bool:
        try:
            mixer(self.normal(1, length))
        except InputError:
            return False
        return True
