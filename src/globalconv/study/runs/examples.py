"""Examples for the probes, which take no lengths: inputs without padding, and pairs laid end to end."""

import sys
from typing import NamedTuple

import torch
from torch import Tensor

from globalconv.models import EncoderDecoder
from globalconv.models.concatenated_encoder_decoder import ConcatenatedEncoderDecoder
from globalconv.tasks import SequenceToSequence, Task
from globalconv.tasks.base import Batch


def unpadded_examples(task: Task, num: int) -> Tensor:
    """Inputs (num, length, ...) of examples of the validation split, or of as many as there are.

    The first ones. Where rows have different lengths: the longest ones, none shorter than half of the longest, cut to
    the shortest of these.
    """
    if not task.signature.ragged:
        return next(iter(task.evaluation_batches("validation", batch_size=num))).inputs
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    assert whole.lengths is not None
    lengths, order = torch.sort(whole.lengths, descending=True, stable=True)
    chosen = order[: min(num, int((2 * lengths >= lengths[0]).sum()))]
    return whole.inputs[chosen, : int(whole.lengths[chosen].min())]


class JoinedPairs(NamedTuple):
    """A model and examples for it: ``inputs`` (examples, source length + target length, width), embedded."""

    model: ConcatenatedEncoderDecoder
    inputs: Tensor
    batch: Batch


def joined_pairs(model: EncoderDecoder, task: SequenceToSequence, count: int, *, longest: int) -> JoinedPairs:
    """``model`` and up to ``count`` pairs of the validation split, as one sequence each. See ``equal_pairs``."""
    batch = equal_pairs(task, count, longest=longest)
    assert batch.source is not None
    joined = ConcatenatedEncoderDecoder(model, batch.source.shape[1])
    return JoinedPairs(joined, joined.embedded(batch.source, batch.inputs), batch)


def equal_pairs(task: SequenceToSequence, count: int, *, longest: int) -> Batch:
    """Up to ``count`` pairs of the validation split with sources of one length, so that nothing is padding.

    A source cannot be cut without being another one: of the lengths up to ``longest`` that enough pairs have, the
    greatest is taken. Among these pairs, those with the longest targets are chosen and cut to the shortest of them and
    to ``longest``: later tokens of a target cannot change earlier ones. The first pair's target is cut least.
    """
    (whole,) = task.evaluation_batches("validation", batch_size=sys.maxsize)
    assert whole.source is not None
    assert whole.mask is not None
    lengths = whole.source_lengths
    if lengths is None:
        lengths = torch.full((len(whole.source),), whole.source.shape[1])
    sizes, shared = (found.tolist() for found in lengths.unique(return_counts=True))

    def merit(candidate: tuple[int, int]) -> tuple[bool, int, int]:
        size, pairs = candidate
        fits = size <= longest
        return fits, min(pairs, count), size if fits else -size

    size, _ = max(zip(sizes, shared, strict=True), key=merit)
    target_lengths = whole.mask.sum(dim=1)
    alike = (lengths == size).nonzero().flatten()
    chosen = alike[target_lengths[alike].argsort(stable=True)[-count:]]
    places = min(longest, int(target_lengths[chosen[0]]))
    return Batch(
        whole.inputs[chosen, :places],
        whole.targets[chosen, :places],
        whole.mask[chosen, :places],
        whole.source[chosen, :size],
    )
