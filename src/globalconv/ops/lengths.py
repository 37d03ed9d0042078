"""Rows of different lengths in one batch: which tokens are real, and that the others are zero.

Row b has lengths[b] real tokens, which come first. What stands behind them is padding: it may hold anything,
NaN included, so it is replaced and never multiplied by zero.
"""

from typing import Any

import torch
from torch import Tensor, library

from globalconv.errors import InputError


def real_tokens(lengths: Tensor, length: int) -> Tensor:
    """(B, length) bool: the tokens that are not padding, from ``lengths`` (B,)."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def clear_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """``x`` (B, L) or (B, L, D) with zeros as padding, whose gradient is zero too; x itself without lengths."""
    if lengths is None:
        return x
    real = real_tokens(lengths, x.shape[1])
    return torch.where(real if x.ndim == 2 else real[..., None], x, 0)


def check_lengths(lengths: Tensor | None, x: Tensor) -> Tensor | None:
    """The lengths of the rows of ``x`` (B, L, ...); None where there is no padding, as far as is known.

    Looking at them makes the host wait for a device that is not the CPU.
    Raises InputError unless they are (B,) int64 on x's device, each from 1 to L; under torch.compile, when the
    compiled function runs.
    """
    if lengths is None:
        return None
    if x.ndim < 2:
        raise InputError(f"lengths are of the rows of a batch, (batch, length, ...), not {tuple(x.shape)}.")
    if lengths.shape != x.shape[:1] or lengths.dtype != torch.int64:
        raise InputError(
            f"lengths must be int64 of the shape ({x.shape[0]},), one number for each row of x, and are "
            f"{lengths.dtype} of the shape {tuple(lengths.shape)}: torch.tensor([...]) of Python's int makes them."
        )
    if lengths.device != x.device:
        raise InputError(f"x is on {x.device} and lengths on {lengths.device}: lengths.to(x.device).")
    values = known_values(lengths)
    if values is None:
        return _checked(lengths, x.shape[1])
    _check_values(values, x.shape[1])
    return None if all(value == x.shape[1] for value in values) else lengths


def known_values(lengths: Tensor) -> list[int] | None:
    """``lengths`` as plain numbers; None under torch.compile, under vmap over them, and on device "meta"."""
    if torch.compiler.is_compiling():
        return None
    try:
        return lengths.tolist()
    except RuntimeError:  # as PyTorch says that there is nothing to read
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


@library.impl("globalconv::checked_lengths", "CompositeExplicitAutograd")
def _(lengths: Tensor, longest: int) -> Tensor:
    _check_values(lengths.flatten().tolist(), longest)
    return lengths.clone()


@library.register_fake("globalconv::checked_lengths")
def _(lengths: Tensor, longest: int) -> Tensor:
    return torch.empty_like(lengths)


@library.register_vmap("globalconv::checked_lengths")
def _(info: Any, in_dims: Any, lengths: Tensor, longest: int) -> tuple[Tensor, int]:
    return _checked(lengths, longest), in_dims[0]
