"""Score a model on a held-out split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from globalconv.decoding import EncoderDecoderState, beam_search, decode, next_token
from globalconv.models.encoder_decoder import EncoderDecoder
from globalconv.tasks.base import Batch, EvaluationSplit, Tallies, Task
from globalconv.tasks.sequence_to_sequence import END, PADDING, START, SequenceToSequence


def evaluate(
    model: nn.Module, task: Task, split: EvaluationSplit, *, batch_size: int, device: torch.device
) -> dict[str, float]:
    """Every metric of ``task`` over the whole split. Leaves the model in training mode.

    In sequence to sequence the model also generates targets, which the task scores: with greedy decoding on the
    validation split, with the task's beams on the test split.
    """
    answered = _answered(model, task, split, batch_size=batch_size, device=device)
    return task.metrics(added_up(_tally(task, *answers) for answers in answered))


def tally_each(
    model: nn.Module, task: Task, split: EvaluationSplit, *, batch_size: int, device: torch.device
) -> list[Tallies]:
    """The tallies of ``evaluate`` for each example, in the split's order."""
    tallies = []
    for batch, logits, written in _answered(model, task, split, batch_size=batch_size, device=device):
        # Single rows are too small for an accelerator.
        batch, logits = batch.to(torch.device("cpu")), logits.cpu()
        written = None if written is None else written.cpu()
        for number in range(len(logits)):
            row = slice(number, number + 1)
            own = None if written is None else written[row]
            tallies.append(_tally(task, batch.rows(row), logits[row], own))
    return tallies


def added_up(tallies: Iterable[Tallies]) -> Tallies:
    """The sum of the tallies of examples or batches."""
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, float] = defaultdict(float)
    for one in tallies:
        for name, (total, count) in one.items():
            sums[name] += total
            counts[name] += count
    return {name: (sums[name], counts[name]) for name in sums}


@torch.no_grad()
def _answered(
    model: nn.Module, task: Task, split: EvaluationSplit, *, batch_size: int, device: torch.device
) -> Iterator[tuple[Batch, Tensor, Tensor | None]]:
    """The split's batches, the model's logits, and the generated targets in sequence to sequence."""
    model.eval()
    for batch in task.evaluation_batches(split, batch_size=batch_size):
        batch = batch.to(device)
        written = None
        if isinstance(task, SequenceToSequence):
            assert isinstance(model, EncoderDecoder)
            written = write_answers(model, task, batch, beams=task.beams if split == "test" else 1)
        yield batch, model(*batch.arguments), written
    model.train()


def _tally(task: Task, batch: Batch, logits: Tensor, written: Tensor | None) -> Tallies:
    tallies = task.tally(logits, batch)
    if written is not None:
        assert isinstance(task, SequenceToSequence)
        tallies |= task.tally_written(written, batch)
    return tallies


def write_answers(model: EncoderDecoder, task: SequenceToSequence, batch: Batch, *, beams: int) -> Tensor:
    """The targets that the model generates for the batch's sources: (batch, at most the task's length) int64."""
    assert batch.source is not None
    limit = task.signature.length
    state = EncoderDecoderState(model, batch.source, batch.source_lengths, longest=limit)
    logits = state.step(torch.full_like(batch.source[:, 0], START))
    if beams == 1:
        return decode(next_token, logits, state, limit=limit, end=END, padding=PADDING)
    return beam_search(next_token, logits, state, limit=limit, beams=beams, end=END, padding=PADDING)
