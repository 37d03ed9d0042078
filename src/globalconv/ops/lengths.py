"""Rows of different lengths in one batch: which tokens are real, and how padding is cleared.

Row b has lengths[b] real tokens, which come first. The rest is padding, which may contain anything,
NaN included, so it is replaced and never multiplied by zero.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, library

from globalconv.errors import InputError

Integers = Tensor | Sequence[int] | np.ndarray[Any, Any]
"""Integers: a tensor of any integer dtype on any device, a list or tuple, or a NumPy array."""


class Checked(NamedTuple):
    """Facts about checked lengths: their values on the host, and the row length that they were checked for."""

    values: list[int]
    longest: int


MARK = "_globalconv_checked"
"""Where checked lengths keep it: an attribute of a tensor that nobody but us holds. A subclass of Tensor would say it
better, but torch.compile does not take one as the input of a graph."""


def checked(lengths: Tensor, values: list[int], longest: int) -> Tensor:
    """``lengths`` (B,) int64 with the mark that they were checked: their ``values`` fit rows of length ``longest``."""
    own = lengths.detach()  # so that the caller's tensor, which may change, is not marked
    setattr(own, MARK, Checked(values, longest))
    return own


def real_tokens(lengths: Tensor, length: int) -> Tensor:
    """(B, length) bool: the tokens that are not padding, from ``lengths`` (B,)."""
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def clear_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """``x`` (B, L) or (B, L, D) with zeros as padding, whose gradient is zero too; x if lengths is None."""
    if lengths is None:
        return x
    real = real_tokens(lengths, x.shape[1])
    return torch.where(real if x.ndim == 2 else real[..., None], x, 0)


def each_length(lengths: Tensor, length: int, compute: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Compute rows of equal length together, without their padding.

    ``compute(rows, n)`` returns (rows, n, D) for the batch rows with these indices, whose length is n. ``lengths`` (B,)
    is checked. Returns (B, ``length``, D) in the order of the batch, with zeros as padding. The lengths are read.
    """
    order = lengths.argsort(stable=True)
    sizes, counts = lengths.unique(return_counts=True)
    results = [
        F.pad(compute(rows, n), (0, 0, 0, length - n))
        for rows, n in zip(order.split(counts.tolist()), sizes.tolist(), strict=True)
    ]
    return torch.cat(results)[order.argsort()]


def lengths_from_mask(mask: Tensor) -> Tensor:
    """Lengths (B,) int64 from a boolean ``mask`` (B, L) that is True at the padding.

    The convention is that of ``key_padding_mask`` in torch.nn.MultiheadAttention. Invert a mask that is True at real
    tokens: ``lengths_from_mask(~mask)``, or ``lengths_from_mask(attention_mask == 0)``.

    Raises InputError for another shape or dtype, and for padding that does not come after all real tokens of its row.
    Under torch.compile it does so when the compiled function runs.
    """
    mask = torch.as_tensor(mask)
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise InputError(
            f"a mask of the padding is (batch, length) of bool, True at the padding, not {tuple(mask.shape)} of "
            f"{mask.dtype}. Where 0 marks the padding, give mask == 0."
        )
    return _lengths_from_mask(mask)


def as_integers(given: Integers, device: torch.device, *, name: str) -> Tensor:
    """``given``, called ``name``, as int64 on ``device``. Raises InputError if they are not integers."""
    if not isinstance(given, Tensor):
        try:
            given = torch.tensor(given, dtype=None if len(given) else torch.int64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} must be whole numbers, and are {given!r} ({error}).") from error
    if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
        raise InputError(
            f"{name} must be whole numbers, and are {given.dtype} of the shape {tuple(given.shape)}. A mask that is "
            "True at the padding becomes lengths by globalconv.lengths_from_mask(mask)."
        )
    if given.is_meta and device.type != "meta":
        raise InputError(f"{name} are on meta, where there are no numbers, and x is on {device}.")
    return given.to(device=device, dtype=torch.int64)


def check_lengths(lengths: Integers | None, x: Tensor) -> Tensor | None:
    """The lengths of the rows of ``x`` (B, L, ...) as (B,) int64 on its device; None where no row is padded, as far
    as is known.

    Reading them makes the host wait for a device that is not the CPU. So a model checks lengths once, at its entry, and
    passes the result on: it is marked, and is not read again. (Under torch.compile and vmap there is no mark.)
    Raises InputError unless they are B integers, each from 1 to L; under torch.compile, when the compiled function
    runs.
    """
    if lengths is None:
        return None
    if x.ndim < 2:
        raise InputError(f"lengths are of the rows of a batch, (batch, length, ...), not {tuple(x.shape)}.")
    lengths = as_integers(lengths, x.device, name="lengths")
    if lengths.shape != x.shape[:1]:
        raise InputError(
            f"lengths must have the shape ({x.shape[0]},), one number for each row of x, and have "
            f"{tuple(lengths.shape)}."
        )
    values = known_values(lengths)
    if values is None:
        return _checked_when_run(lengths, x.shape[1])
    length, known = x.shape[1], getattr(lengths, MARK, None)
    passes = known is not None and known.longest == length
    if not passes:
        _check_values(values, length)
    if all(value == length for value in values):
        return None
    return lengths if passes else checked(lengths, values, length)


def known_values(lengths: Tensor) -> list[int] | None:
    """``lengths`` as plain numbers; None under torch.compile, under vmap over them, and on device "meta"."""
    if torch.compiler.is_compiling():
        return None
    known: Checked | None = getattr(lengths, MARK, None)
    try:
        return known.values if known else lengths.tolist()
    except RuntimeError:  # how PyTorch reports that there are no values
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


# The checks are PyTorch operations that run when there are values: in a compiled graph when it
# runs, under vmap for all instances together. They return the lengths, so that no graph can drop them.
library.define("globalconv::checked_lengths", "(Tensor lengths, SymInt longest) -> Tensor")
_checked_when_run = torch.ops.globalconv.checked_lengths.default


@library.impl("globalconv::checked_lengths", "CompositeExplicitAutograd")
def _(lengths: Tensor, longest: int) -> Tensor:
    _check_values(lengths.flatten().tolist(), longest)
    return lengths.clone()


@library.register_fake("globalconv::checked_lengths")
def _(lengths: Tensor, longest: int) -> Tensor:
    return torch.empty_like(lengths)


@library.register_vmap("globalconv::checked_lengths")
def _(info: Any, in_dims: Any, lengths: Tensor, longest: int) -> tuple[Tensor, int]:
    return _checked_when_run(lengths, longest), in_dims[0]


library.define("globalconv::lengths_from_mask", "(Tensor mask) -> Tensor")
_lengths_from_mask = torch.ops.globalconv.lengths_from_mask.default


@library.impl("globalconv::lengths_from_mask", "CompositeExplicitAutograd")
def _(mask: Tensor) -> Tensor:
    lengths = (~mask).sum(1)
    wrong = (real_tokens(lengths, mask.shape[1]) == mask).any(1).nonzero()
    if len(wrong):
        raise InputError(
            f"in row {int(wrong[0])} of the mask a real token stands behind padding: padding must come last. Move it "
            "there, or invert a mask that is True at real tokens (~mask)."
        )
    return lengths


@library.register_fake("globalconv::lengths_from_mask")
def _(mask: Tensor) -> Tensor:
    return mask.new_empty(mask.shape[0], dtype=torch.int64)


@library.register_vmap("globalconv::lengths_from_mask")
def _(info: Any, in_dims: Any, mask: Tensor) -> tuple[Tensor, int]:
    rows = mask.movedim(in_dims[0], 0)
    return _lengths_from_mask(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]), 0
