"""Score a model on a held-out split."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from globalconv.decoding import EncoderDecoderState, beam_search, decode, next_token
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.tasks.base import Batch, EvaluationSplit, Task
from globalconv.tasks.sequence_to_sequence import END, PADDING, START, SequenceToSequence


@torch.no_grad()
def evaluate(
    model: nn.Module, task: Task, split: EvaluationSplit, *, batch_size: int, device: torch.device
) -> dict[str, float]:
    """Every metric of ``task`` over the whole split. Leaves the model in training mode.

    Of sequence to sequence, the model also writes its own answers, which the task scores: greedily on
    the validation split, with the task's beams on the test split.
    """
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, float] = defaultdict(float)
    model.eval()
    for batch in task.evaluation_batches(split, batch_size=batch_size):
        batch = batch.to(device)
        tallies = task.tally(model(*batch.arguments), batch)
        if isinstance(task, SequenceToSequence):
            assert isinstance(model, EncoderDecoder)
            written = write_answers(model, task, batch, beams=task.beams if split == "test" else 1)
            tallies |= task.tally_written(written, batch)
        for name, (total, count) in tallies.items():
            sums[name] += total
            counts[name] += count
    model.train()
    return task.metrics({name: (sums[name], counts[name]) for name in sums})


def write_answers(model: EncoderDecoder, task: SequenceToSequence, batch: Batch, *, beams: int) -> Tensor:
    """What the model itself writes in answer to the batch's sources: (batch, at most the task's length) int64."""
    assert batch.source is not None
    limit = task.signature.length
    state = EncoderDecoderState(model, batch.source, batch.source_lengths, longest=limit)
    logits = state.step(torch.full_like(batch.source[:, 0], START))
    if beams == 1:
        return decode(next_token, logits, state, limit=limit, end=END, padding=PADDING)
    return beam_search(next_token, logits, state, limit=limit, beams=beams, end=END, padding=PADDING)
