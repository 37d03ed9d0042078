"""Rows of different lengths in one batch: which tokens are real, and that the others are zero.

Row b has lengths[b] real tokens, which come first. What stands behind them is padding: it may hold anything,
NaN included, so it is replaced and never multiplied by zero.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, library

from globalconv.errors import InputError


class Lengths(NamedTuple):
    """The rows' lengths, (B,) int64, and as plain numbers; None where PyTorch does not tell them.

    It tells them in ordinary calls; not under torch.compile, under vmap over the lengths, or on device "meta".
    """

    tensor: Tensor
    values: list[int] | None

    def are_all(self, length: int) -> bool:
        """Whether every row is known to be of ``length``: then there is no padding."""
        return self.values is not None and all(value == length for value in self.values)


def real_tokens(lengths: Tensor, length: int) -> Tensor:
    """(B, length) bool: the tokens that are not padding, from ``lengths`` (B,)."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def clear_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """``x`` (B, L) or (B, L, D) with zeros as padding, whose gradient is zero too; x itself without lengths."""
    if lengths is None:
        return x
    real = real_tokens(lengths, x.shape[1])
    return torch.where(real if x.ndim == 2 else real[..., None], x, 0)


def check_lengths(lengths: Tensor, x: Tensor) -> Lengths:
    """The lengths of the rows of ``x`` (B, L, ...), once they are known to be such.

    Reading them makes the host wait for a device that is not the CPU.
    Raises InputError unless they are (B,) int64 on x's device, each from 1 to L; under torch.compile when the
    compiled function runs.
    """
    if lengths.shape != x.shape[:1] or lengths.dtype != torch.int64:
        raise InputError(
            f"lengths must be int64 of the shape ({len(x)},), one number for each row of x, and are "
            f"{lengths.dtype} of the shape {tuple(lengths.shape)}: torch.tensor([...]) of Python's int makes them."
        )
    if lengths.device != x.device:
        raise InputError(f"x is on {x.device} and lengths on {lengths.device}: lengths.to(x.device).")
    values = _values(lengths)
    if values is None:
        return Lengths(_checked(lengths, x.shape[1]), None)
    _check_values(values, x.shape[1])
    return Lengths(lengths, values)


def _values(lengths: Tensor) -> list[int] | None:
    if torch.compiler.is_compiling():
        return None
    try:
        return lengths.tolist()
    except RuntimeError:  # vmap over the lengths, or a tensor without storage
        return None


def _check_values(values: list[int], longest: int) -> None:
    for row, value in enumerate(values):
        if value < 1:
            raise InputError(
                f"lengths[{row}] is {value}: every row needs a real token. Leave empty rows out."
            )
        if value > longest:
            raise InputError(
                f"lengths[{row}] is {value} and x is {longest} long: count real tokens only, or pad x to "
                f"{value}."
            )


# The check as an operation of PyTorch's, which looks when there is something to see: in a compiled graph at
# its run, under vmap at all instances together. It returns the lengths, so that no graph can drop it.
library.define("globalconv::checked_lengths", "(Tensor lengths, int longest) -> Tensor")
_checked = torch.ops.globalconv.checked_lengths.default


@library.impl("globalconv::checked_lengths", ("CPU", "CUDA"))
def _(lengths: Tensor, longest: int) -> Tensor:
    _check_values(lengths.flatten().tolist(), longest)
    return lengths.clone()


@library.register_fake("globalconv::checked_lengths")
def _(lengths: Tensor, longest: int) -> Tensor:
    return torch.empty_like(lengths)


@library.register_vmap("globalconv::checked_lengths")
def _(info: Any, in_dims: Any, lengths: Tensor, longest: int) -> tuple[Tensor, int]:
    return _checked(lengths, longest), in_dims[0]
