"""Documents end to end: packed and unpacked without loss, and computed on as if each were alone."""

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from globalconv.errors import InputError
from globalconv.ops import (
    Documents,
    Mode,
    available_backends,
    global_conv,
    lengths_of,
    offsets_of,
    pack,
    unpack,
)
from tests.ops.laws import MODES

BACKENDS = [status.name for status in available_backends() if status.obstacle is None]
some_lengths = st.lists(st.integers(1, 20), min_size=1, max_size=7)
seeds = st.integers(0, 2**31 - 1)
Way = Callable[[Tensor, Tensor, Tensor, Mode, str | None], Tensor]


def unpacked(x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode, backend: str | None = None) -> Tensor:
    """As one padded batch."""
    rows, lengths = unpack(x, offsets), lengths_of(offsets)
    cut = taps[:, : rows.shape[1]] if mode == "circular" else taps
    return pack(global_conv(rows, cut, mode=mode, lengths=lengths, backend=backend), lengths)


def mapped(x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode, backend: str | None = None) -> Tensor:
    """As batches of similar lengths."""

    def convolve(rows: Tensor, lengths: Tensor) -> Tensor:
        cut = taps[:, : rows.shape[1]] if mode == "circular" else taps
        return global_conv(rows, cut, mode=mode, lengths=lengths, backend=backend)

    return Documents(offsets, x).map(convolve, x)


def one_by_one(x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode) -> Tensor:
    return torch.cat(
        [
            global_conv(x[None, a:b], taps[:, : b - a] if mode == "circular" else taps, mode=mode)[0]
            for a, b in pairwise(offsets.tolist())
        ]
    )


def across_borders(
    x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode, backend: str | None = None
) -> Tensor:
    """The packed tensor as if it were one sequence."""
    return global_conv(x[None], taps[:, : len(x)] if mode == "circular" else taps, mode=mode)[0]


def in_another_order(
    x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode, backend: str | None = None
) -> Tensor:
    """The documents right, and put back by their lengths."""
    y = one_by_one(x, taps, offsets, mode)
    documents = y.split(lengths_of(offsets).tolist())
    return torch.cat(sorted(documents, key=len))


def borders_off_by_one(
    x: Tensor, taps: Tensor, offsets: Tensor, mode: Mode, backend: str | None = None
) -> Tensor:
    moved = offsets.clone()
    moved[1:-1] = torch.maximum(moved[1:-1] - 1, moved[:-2] + 1)
    return mapped(x, taps, moved, mode)


def check(way: Way, lengths: list[int], mode: Mode, seed: int, backend: str | None = None) -> None:
    """Values and gradients of the documents one by one, and no document changes another by anything."""
    generator = torch.Generator().manual_seed(seed)
    offsets = offsets_of(torch.tensor(lengths))
    total, num_taps = sum(lengths), max(lengths)
    x = torch.randn(total, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(2, num_taps - 1 + num_taps % 2, generator=generator, dtype=torch.float64)
    taps = (taps if mode == "bidirectional" else taps[:, :num_taps]).requires_grad_()
    upstream = torch.randn(total, 4, generator=generator, dtype=torch.float64)
    y = way(x, taps, offsets, mode, backend)
    expected = one_by_one(x, taps, offsets, mode)
    torch.testing.assert_close(y, expected, rtol=1e-11, atol=1e-11)
    for got, right in zip(
        torch.autograd.grad(y, (x, taps), upstream),
        torch.autograd.grad(expected, (x, taps), upstream),
        strict=True,
    ):
        torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-11)
    which = seed % len(lengths)
    own = torch.zeros(total, dtype=torch.bool)
    own[offsets[which] : offsets[which + 1]] = True
    other = torch.where(own[:, None], torch.nan, x.detach())
    assert torch.equal(way(other, taps, offsets, mode, backend)[~own], y[~own]), "a document changes others"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", [unpacked, mapped], ids=lambda way: way.__name__)
def test_packed_documents_are_as_if_alone(way, mode, backend):
    @settings(max_examples=8)
    @given(lengths=some_lengths, seed=seeds)
    def holds(lengths: list[int], seed: int) -> None:
        check(way, lengths, mode, seed, backend)

    holds()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "mutant", [across_borders, in_another_order, borders_off_by_one], ids=lambda mutant: mutant.__name__
)
def test_mutant_is_caught(mutant, mode, seed):
    with pytest.raises(AssertionError):
        check(mutant, [5, 3, 9, 2], mode, seed)


@given(lengths=some_lengths, ends=st.sampled_from([(), (3,), (2, 3)]), seed=seeds)
def test_there_and_back(lengths, ends, seed):
    generator = torch.Generator().manual_seed(seed)
    own = torch.tensor(lengths)
    offsets = offsets_of(own)
    packed = torch.randn(sum(lengths), *ends, generator=generator)
    padded = unpack(packed, offsets.int())
    assert torch.equal(lengths_of(offsets), own)
    assert padded.shape == (len(lengths), max(lengths), *ends)
    assert torch.equal(pack(padded, own), packed)
    for row, (start, n) in enumerate(zip(offsets.tolist(), lengths, strict=False)):
        assert torch.equal(padded[row, :n], packed[start : start + n])
        assert not padded[row, n:].any()
    assert torch.equal(pack(padded, None), padded.flatten(0, 1))


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=20), seed=seeds)
def test_less_padding_than_tokens_in_few_batches(lengths, seed):
    packed = torch.randn(sum(lengths), 2, generator=torch.Generator().manual_seed(seed))
    sizes = []

    def same(rows: Tensor, own: Tensor) -> Tensor:
        sizes.append(rows.shape[0] * rows.shape[1])
        return rows

    documents = Documents(offsets_of(torch.tensor(lengths)), packed)
    assert torch.equal(documents.map(same, packed), packed)
    assert sum(sizes) < 2 * sum(lengths)
    assert len(sizes) <= 1 + torch.tensor(max(lengths)).log2().floor()


def test_derivatives_of_first_and_second_order(generator):
    offsets = torch.tensor([0, 2, 6, 7])
    x, taps = (
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((7, 1), (1, 4))
    )
    for way in (unpacked, mapped):

        def op(x: Tensor, taps: Tensor, way: Way = way) -> Tensor:
            return way(x, taps, offsets, "circular", None)

        assert torch.autograd.gradcheck(op, (x, taps))
        assert torch.autograd.gradgradcheck(op, (x, taps))


@pytest.mark.parametrize(
    ("offsets", "says"),
    [
        (torch.tensor([0, 3, 6]), "run from 0 to 6, and must run from 0 to the number of tokens, 7"),
        (torch.tensor([1, 3, 7]), "run from 1 to 7"),
        (torch.tensor([0, 3, 3, 7]), "document 1 is empty: offsets[1] is 3 and offsets[2] is 3"),
        (torch.tensor([0, 5, 3, 7]), "offsets[1] is 5 and offsets[2] is 3, and each must exceed"),
        (torch.tensor([0]), "offsets must be (documents + 1,)"),
        (torch.tensor([[0, 7]]), "offsets_of(lengths) makes them"),
        (torch.tensor([0.0, 7.0]), "offsets must be whole numbers, and are torch.float32"),
        (torch.tensor([0, 7], device="meta"), "offsets are on meta, where there are no numbers"),
    ],
    ids=str,
)
def test_wrong_offsets_are_refused(offsets, says):
    for use in (lambda x: unpack(x, offsets), lambda x: Documents(offsets, x)):
        with pytest.raises(InputError, match=re.escape(says)):
            use(torch.ones(7, 2))


@pytest.mark.parametrize(
    "given", [list, tuple, np.array, torch.tensor, partial(torch.tensor, dtype=torch.int32)]
)
def test_offsets_are_whole_numbers_of_any_kind(given):
    tokens = torch.arange(7)
    assert unpack(tokens, given([0, 3, 7])).tolist() == [[0, 1, 2, 0], [3, 4, 5, 6]]
    assert lengths_of(given([0, 3, 7])).tolist() == [3, 4]
    assert offsets_of(given([3, 4])).tolist() == [0, 3, 7]
