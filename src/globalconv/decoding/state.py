"""What a causal mixer remembers of the tokens that it has seen."""

import copy
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor

from globalconv.errors import InputError


class MixerState(ABC):
    """One causal mixer, part of the way through a batch of sequences.

    First ``prefill`` a prompt, all its tokens in parallel, or nothing; then ``step`` one token at a time. Every output
    is the one that ``mixer(x)`` gives at its place in the whole sequence, to rounding. ``longest`` tokens fit in, and
    ``count`` are in. Nothing is differentiated.

    A state belongs to the weights that it was begun with: what is derived from them is computed once.
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
        """Read the prompt ``x``, (batch, n, width) with n >= 0, in parallel; its outputs in the same shape.

        Raises InputError where the shape does not fit, or there are tokens before it.
        """
        if x.ndim != 3 or (x.shape[0], x.shape[2]) != (self.batch, self.width):
            raise InputError(
                f"a prompt is (batch, n, width), here ({self.batch}, n, {self.width}), not {tuple(x.shape)}."
            )
        self._check_dtype(x)
        if self.count:
            raise InputError(f"{self.count} tokens are in already: a prompt is read first; step() goes on.")
        if x.shape[1] > self.longest:
            raise InputError(f"the prompt has {x.shape[1]} tokens, and {self.longest} fit in: begin longer.")
        if x.shape[1] == 0:
            return x.clone()
        with torch.no_grad():
            y = self._prefill(x)
        self.count = x.shape[1]
        return y

    def step(self, x: Tensor) -> Tensor:
        """The output for the next token ``x``, both (batch, width). Raises InputError where nothing more fits."""
        if x.shape != (self.batch, self.width):
            raise InputError(
                f"a token is (batch, width), here ({self.batch}, {self.width}), not {tuple(x.shape)}."
            )
        self._check_dtype(x)
        if self.count == self.longest:
            raise InputError(f"{self.longest} tokens are in, and no more fit: begin with a larger longest.")
        with torch.no_grad():
            y = self._step(x)
        self.count += 1
        return y

    def select(self, rows: Tensor) -> Self:
        """A new state of the sequences ``rows``, (new batch,) int64, in that order; a row may come twice.

        What is computed with either does not touch the other.
        """
        chosen = copy.copy(self)
        chosen.batch = len(rows)
        chosen._keep(rows)
        return chosen

    def _check_dtype(self, x: Tensor) -> None:
        if self.dtype is not None and x.dtype != self.dtype:
            raise InputError(f"the weights are {self.dtype} and the input is {x.dtype}: convert either.")

    @abstractmethod
    def _prefill(self, x: Tensor) -> Tensor:
        """``prefill`` of at least one token; ``count`` is raised by the caller."""

    @abstractmethod
    def _step(self, x: Tensor) -> Tensor:
        """``step``; ``count`` is raised by the caller. The result is a tensor that nobody else holds."""

    @abstractmethod
    def _keep(self, rows: Tensor) -> None:
        """Replace each tensor that changes by a new one, of these rows."""

    @abstractmethod
    def numbers(self) -> int:
        """How many numbers are kept for the sequences: what grows with the batch, the weights' share left out."""
