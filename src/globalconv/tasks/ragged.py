"""Sequences of different lengths in one array: their lengths and their padding."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from globalconv.errors import InputError
from globalconv.tasks.labelled import Labelled, Part, first_few


def real_positions(lengths: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    """(n, length): True for positions that are not padding."""
    return np.arange(length) < lengths[:, None]


def lengths_by_gaps(values: NDArray[Any]) -> NDArray[np.int64] | None:
    """The length of each sequence of (n, length, channels), if NaN occur only at the ends.

    None if there is no NaN, if there is one elsewhere, or if a sequence would be empty.
    """
    if values.dtype.kind != "f":
        return None
    gaps = np.isnan(values).all(axis=2)
    if not gaps.any():
        return None
    lengths: NDArray[np.int64] = values.shape[1] - np.argmin(gaps[:, ::-1], axis=1).astype(np.int64)
    real = real_positions(lengths, values.shape[1])
    ends_only = np.array_equal(real, ~gaps) and not gaps.all(axis=1).any()
    return lengths if ends_only and np.isfinite(values[real]).all() else None


def without_padding(values: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """``values`` with zeros after each sequence's end, so that the padding does not change the digest."""
    return np.where(real_positions(lengths, values.shape[1])[:, :, None], values, values.dtype.type(0))


def check_lengths(
    lengths: NDArray[Any], *, name: str, path: Path, num: int, longest: int
) -> NDArray[np.int64]:
    """``lengths`` as int64. Raises InputError unless they are ``num`` whole numbers from 1 to ``longest``."""
    if lengths.shape != (num,):
        raise InputError(
            f"{name} in '{path.name}' has shape {lengths.shape}. It must be ({num},), one length for each example."
        )
    if lengths.dtype.kind not in "iuf" or not np.array_equal(lengths, np.floor(lengths)):
        raise InputError(f"{name} in '{path.name}' has type {lengths.dtype}. It must hold whole numbers.")
    wrong = np.flatnonzero((lengths < 1) | (lengths > longest))
    if len(wrong):
        raise InputError(
            f"{name} in '{path.name}' must be between 1 and {longest}, the length of X. Rows {first_few(wrong)} "
            f"(counted from 0) are not: {first_few(lengths[wrong])}. Correct or drop these rows."
        )
    return lengths.astype(np.int64)


def describe_lengths(lengths: NDArray[np.int64], length: int) -> str:
    """'412 of 1500 sequences are shorter (12 to 140 positions)'."""
    shorter = int((lengths < length).sum())
    return f"{shorter} of {len(lengths)} sequences are shorter than the longest ({lengths.min()} to {length} positions)"


def equally_long(parts: Mapping[Part, Labelled]) -> dict[Part, Labelled]:
    """The splits with arrays as long as the longest sequence of all; without lengths if none is shorter.

    Only splits with lengths may differ in length: callers check the others.
    """
    longest = max(int(part.all_lengths.max()) for part in parts.values())
    columns = max((part.columns for part in parts.values()), key=len)[:longest]
    ragged = any((part.all_lengths < longest).any() for part in parts.values())
    return {
        name: replace(
            part,
            values=to_length(part.values, longest),
            lengths=part.all_lengths if ragged else None,
            columns=columns,
        )
        for name, part in parts.items()
    }


def to_length(values: NDArray[Any], length: int) -> NDArray[Any]:
    """(n, any, channels) -> (n, length, channels), cut, or padded with zeros."""
    missing = length - values.shape[1]
    return np.pad(values, ((0, 0), (0, missing), (0, 0))) if missing > 0 else values[:, :length]
