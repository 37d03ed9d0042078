"""Documents end to end in one tensor, without padding, and how to compute on them with no leak across a border.

A packed tensor is (T, ...): documents one after another. ``offsets`` (N+1,), whole numbers, say where they begin:
0 first, T last, document i from offsets[i] to offsets[i+1] - 1 (flash-attention's cu_seqlens). What treats every
token alike runs on it as it stands. What moves information between tokens runs on padded batches with
``lengths``, in which no document can see another.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops.lengths import Integers, as_integers, check_lengths, checked, real_tokens


def offsets_of(lengths: Integers) -> Tensor:
    """(N+1,) int64: where documents of these lengths, (N,), begin and end."""
    return F.pad(_in_place(lengths, name="lengths").cumsum(0), (1, 0))


def lengths_of(offsets: Integers) -> Tensor:
    """(N,) int64: how long the documents are."""
    return _in_place(offsets, name="offsets").diff()


def pack(padded: Tensor, lengths: Integers | None) -> Tensor:
    """The real tokens of ``padded`` (N, L, ...), as (T, ...). ``lengths`` as in ``global_conv``; None: all are real.

    Raises InputError where the lengths do not fit.
    """
    lengths = check_lengths(lengths, padded)
    if lengths is None:
        return padded.flatten(0, 1)
    return padded[real_tokens(lengths, padded.shape[1])]


def unpack(packed: Tensor, offsets: Integers) -> Tensor:
    """Each document of ``packed`` (T, ...) as a row, (N, the longest's length, ...), with zeros as padding.

    With ``lengths_of(offsets)`` beside it, it is what ``global_conv`` takes. Raises InputError where the offsets
    do not fit.
    """
    places = _check_offsets(offsets, packed)
    return _rows(packed, _batch(list(pairwise(places)), packed))


class Documents:
    """The documents of a packed tensor as a few padded batches, each of documents of similar length.

    Their lengths differ by a factor below two within a batch, so that there is less padding than there are
    tokens, whatever the lengths; and there are at most log2 of the longest such batches, and one more.

    Made from ``offsets`` and any tensor (T, ...) that they divide; used on all that have as many tokens. It reads
    the offsets, so under torch.compile it is made outside. Raises InputError where they do not fit.
    """

    def __init__(self, offsets: Integers, packed: Tensor) -> None:
        places = _check_offsets(offsets, packed)
        by_size: dict[int, list[tuple[int, int]]] = {}
        for start, end in pairwise(places):
            by_size.setdefault((end - start).bit_length(), []).append((start, end))
        self.batches = [_batch(documents, packed) for documents in by_size.values()]
        # Where each token is found when all batches are laid end to end with their padding.
        self.back = torch.empty(places[-1], dtype=torch.int64, device=packed.device)
        before = 0
        for batch in self.batches:
            real = real_tokens(batch.lengths, batch.tokens.shape[1])
            self.back[batch.tokens[real]] = before + real.flatten().nonzero()[:, 0]
            before += real.numel()

    def map(self, function: Callable[[Tensor, Tensor], Tensor], packed: Tensor) -> Tensor:
        """``function(rows (n, longest, ...), lengths (n,))`` of each batch; its real tokens, packed as they were.

        What the rows hold as padding is not said; what the function gives there is dropped.
        """
        results = [function(packed[batch.tokens], batch.lengths).flatten(0, 1) for batch in self.batches]
        return torch.cat(results)[self.back]


class _Batch(NamedTuple):
    tokens: Tensor
    """(n, longest): the packed place of each token; at the padding, a document's last."""
    lengths: Tensor


def _batch(documents: list[tuple[int, int]], packed: Tensor) -> _Batch:
    start, end = torch.tensor(documents, device=packed.device).unbind(1)
    values = [end - start for start, end in documents]
    place = torch.arange(max(values), device=packed.device)
    lengths = checked(end - start, values, max(values))
    return _Batch(torch.minimum(start[:, None] + place, end[:, None] - 1), lengths)


def _rows(packed: Tensor, batch: _Batch) -> Tensor:
    """(n, longest, ...), with zeros as padding."""
    real = real_tokens(batch.lengths, batch.tokens.shape[1])
    return torch.where(real.reshape(*real.shape, *[1] * (packed.ndim - 1)), packed[batch.tokens], 0)


def _in_place(given: Integers, *, name: str) -> Tensor:
    device = given.device if isinstance(given, Tensor) else torch.device("cpu")
    return as_integers(given, device, name=name)


def _check_offsets(offsets: Integers, packed: Tensor) -> list[int]:
    """The offsets as numbers, once they are known to divide ``packed`` into documents."""
    offsets = as_integers(offsets, packed.device, name="offsets")
    if offsets.ndim != 1 or len(offsets) < 2:
        raise InputError(
            f"offsets must be (documents + 1,), and are {tuple(offsets.shape)}: offsets_of(lengths) makes them."
        )
    places: list[int] = offsets.tolist()
    if places[0] != 0 or places[-1] != len(packed):
        raise InputError(
            f"offsets run from {places[0]} to {places[-1]}, and must run from 0 to the number of tokens, "
            f"{len(packed)}."
        )
    for number, (start, end) in enumerate(pairwise(places)):
        if end <= start:
            raise InputError(
                f"document {number} is empty: offsets[{number}] is {start} and offsets[{number + 1}] is {end}, and "
                "each must exceed the one before. Leave empty documents out."
            )
    return places
