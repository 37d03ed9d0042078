"""One comparison: what is convolved, how much of it, and on how many threads."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from globalconv.ops import Mode


@dataclass(frozen=True)
class Case:
    """One comparison. ``backward``: forward and backward together; ``gated``: with skip and both gates."""

    threads: int
    width: int
    length: int
    batch: int
    mode: Mode
    gated: bool
    backward: bool

    @property
    def num_taps(self) -> int:
        """As many as the sequence can use."""
        return 2 * self.length - 1 if self.mode == "bidirectional" else self.length

    @property
    def numbers(self) -> int:
        """In one tensor (batch, length, width)."""
        return self.batch * self.length * self.width

    def words(self) -> str:
        """Mode, gates and pass, as a title says them."""
        return f"{self.mode}{', gated' * self.gated}, forward{' and backward' * self.backward}"


CASE_FIELDS = tuple(field.name for field in fields(Case))


@dataclass(frozen=True)
class Problem:
    """A case's tensors: ``operands`` are what ``global_conv`` takes, by name, ``upstream`` is y's gradient."""

    case: Case
    operands: dict[str, Tensor]
    upstream: Tensor


def problem_of(case: Case, *, seed: int, dtype: torch.dtype = torch.float32) -> Problem:
    """Tensors for ``case``, the same ones for the same seed; y has about the size of x."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    shape = (case.batch, case.length, case.width)
    operands = {"x": draw(*shape), "taps": draw(case.width, case.num_taps) / case.num_taps**0.5}
    if case.gated:
        operands |= {"skip": draw(case.width), "gate_in": draw(*shape), "gate_out": draw(*shape)}
    return Problem(case, operands, draw(*shape))
