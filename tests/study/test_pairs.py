"""The pairs that probes look at: of one length, without padding, as long as may be."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from globalconv.models import build_encoder_decoder
from globalconv.models.encoder_decoder_designs import Size
from globalconv.study.runs.examples import equal_pairs, joined_pairs
from globalconv.tasks.number_words import NumberWords
from globalconv.tasks.rewriting import Reverse
from globalconv.tasks.sequence_to_sequence import END, PADDING, START, SequenceToSequence

TASKS = {
    "reverse": Reverse(12, 5, min_length=2, num_validation=90, num_test=2),
    "number_words": NumberWords(num_validation=60, num_test=2),
}


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=30)
@given(count=st.integers(1, 12), longest=st.integers(1, 20))
def test_pairs_are_of_one_length_and_whole_as_far_as_they_are_shown(name, count, longest):
    task = TASKS[name]
    batch = equal_pairs(task, count, longest=longest)
    (whole,) = task.evaluation_batches("validation", batch_size=10**6)
    shown = batch.source.shape[1]
    assert batch.source_lengths is None
    assert PADDING not in batch.source
    assert (batch.source[:, -1] == END).all()
    assert batch.mask.all()
    assert batch.inputs.shape[1] <= longest
    assert (batch.inputs[:, 0] == START).all()
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert len(batch.source) <= count
    answers = {
        tuple(row[row != PADDING].tolist()): target
        for row, target in zip(whole.source, whole.targets, strict=True)
    }
    assert len(answers) == len(whole.source), "sources are different"
    for source, target in zip(batch.source, batch.targets, strict=True):
        assert torch.equal(target, answers[tuple(source.tolist())][: len(target)])
    lengths = Counter((row != PADDING).sum().item() for row in whole.source)
    assert len(batch.source) == min(count, lengths[shown])
    enough = {size: min(count, pairs) for size, pairs in lengths.items() if size <= longest}
    if enough:
        assert shown == max(size for size, pairs in enough.items() if pairs == max(enough.values()))


def test_of_pairs_with_one_source_length_the_longest_targets_are_shown():
    task: SequenceToSequence = TASKS["number_words"]
    (whole,) = task.evaluation_batches("validation", batch_size=10**6)
    batch = equal_pairs(task, 3, longest=64)
    alike = (whole.source != PADDING).sum(1) == batch.source.shape[1]
    due = whole.mask[alike].sum(1).sort(descending=True).values[:3]
    assert batch.targets.shape[1] == due.min()
    assert batch.targets[0, -1] == END


def test_the_model_is_given_source_and_target(seed):
    torch.manual_seed(seed)
    task = TASKS["reverse"]
    size = Size(8, 1, 2, 8, dropout=0.0)
    model = build_encoder_decoder(task.signature.vocabulary, task.signature.length, size).eval()
    joined, inputs, batch = joined_pairs(model, task, 4, longest=64)
    logits = joined(inputs)[:, joined.source_length :]
    torch.testing.assert_close(logits, model(batch.source, batch.inputs))
