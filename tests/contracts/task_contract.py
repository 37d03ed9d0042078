"""The laws that every task obeys. Each takes a task and a fresh seed, and fails by assertion."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.tasks import Batch, SequenceToSequence, Tallies, Task, build_task
from globalconv.tasks.sequence_to_sequence import END, START

NUM_TRAIN_BATCHES = 40
SHARP = 60.0
"""Logit of the right answer where all others are 0: its loss is zero in float32."""


def law_shapes_match_the_signature(task: Task, seed: int) -> None:
    signature = task.signature
    assert (signature.vocabulary is None) != (signature.channels is None)
    for batch in _a_few_batches(task, seed):
        rows = len(batch.inputs)
        if signature.channels is not None:
            assert batch.inputs.shape == (rows, signature.length, signature.channels)
            assert batch.inputs.dtype == torch.float32
            assert batch.inputs.isfinite().all()
        else:
            assert batch.inputs.shape == (rows, _length(task, batch))
            assert batch.inputs.dtype == torch.int64
            assert signature.vocabulary is not None
            assert batch.inputs.min() >= 0
            assert batch.inputs.max() < signature.vocabulary
        shape = (rows,) if signature.kind == "classification" else (rows, _length(task, batch))
        assert batch.targets.shape == shape
        assert batch.targets.dtype == torch.int64
        assert batch.targets.min() >= 0
        assert batch.targets.max() < signature.num_outputs
        if batch.mask is not None:
            assert batch.mask.shape == shape
            assert batch.mask.dtype == torch.bool
            assert batch.mask.any()
        assert (batch.source is None) == (signature.kind != "sequence_to_sequence")
        if batch.source is not None:
            assert batch.source.dtype == torch.int64
            assert len(batch.source) == rows
            assert batch.source.shape[1] <= signature.length
            assert 0 <= batch.source.min() <= batch.source.max() < signature.num_outputs
        assert (batch.lengths is not None) == signature.ragged
        if batch.lengths is not None:
            assert batch.lengths.shape == (rows,)
            assert batch.lengths.dtype == torch.int64
            assert 1 <= batch.lengths.min() <= batch.lengths.max() <= signature.length
            padding = torch.arange(signature.length) >= batch.lengths[:, None]
            assert not batch.inputs[padding].any()
        if batch.source_lengths is not None:
            assert batch.source is not None
            assert batch.source_lengths.shape == (rows,)
            assert batch.source_lengths.dtype == torch.int64
            assert 1 <= batch.source_lengths.min() <= batch.source_lengths.max() == batch.source.shape[1]
    for batch_size in (1, 3, 7):
        assert len(task.train_batch(1, seed=seed, batch_size=batch_size).inputs) == batch_size


def law_a_training_batch_is_a_pure_function(task: Task, seed: int) -> None:
    first = task.train_batch(3, seed=seed, batch_size=8)
    for step in (0, 9, 500):
        task.train_batch(step, seed=seed + 1, batch_size=5)
    assert _equal(first, task.train_batch(3, seed=seed, batch_size=8))
    assert _equal(first, build_task(task.kind, task.options).train_batch(3, seed=seed, batch_size=8))


def law_a_batch_may_be_overwritten(task: Task, seed: int) -> None:
    """Whoever changes a batch in place changes neither its other parts nor the data."""

    def batches() -> tuple[Batch, Batch]:
        drawn = task.train_batch(3, seed=seed, batch_size=8)
        return drawn, next(task.evaluation_batches("test", batch_size=64))

    originals = [batch._changed(Tensor.clone) for batch in batches()]
    for original, batch in zip(originals, batches(), strict=True):
        batch.inputs.fill_(-1)
        assert torch.equal(batch.targets, original.targets)
        batch.targets.fill_(-1)
        if batch.source is not None:
            assert original.source is not None
            assert torch.equal(batch.source, original.source)
            batch.source.fill_(-1)
    for original, batch in zip(originals, batches(), strict=True):
        assert _equal(original, batch)


def law_steps_and_seeds_matter(task: Task, seed: int) -> None:
    batches = [
        task.train_batch(step, seed=s, batch_size=16)
        for step in (0, 1, 2)
        for s in (seed, seed + 1, seed + 2)
    ]
    for i, batch in enumerate(batches):
        assert not any(_rows(batch) == _rows(other) for other in batches[:i])


def law_evaluation_is_the_same_every_time(task: Task, seed: int) -> None:
    for split in ("validation", "test"):
        whole = _joined(task.evaluation_batches(split, batch_size=64))
        assert _equal(whole, _joined(task.evaluation_batches(split, batch_size=64)))
        for batch_size in (1 + seed % 13, 17, 10**6):
            assert _equal(whole, _joined(task.evaluation_batches(split, batch_size=batch_size)))


def law_splits_are_disjoint(task: Task, seed: int) -> None:
    train = {
        row
        for step in range(NUM_TRAIN_BATCHES)
        for row in _rows(task.train_batch(step, seed=seed, batch_size=64))
    }
    validation = set(_rows(_joined(task.evaluation_batches("validation", batch_size=64))))
    test = set(_rows(_joined(task.evaluation_batches("test", batch_size=64))))
    assert not train & validation
    assert not train & test
    assert not validation & test


def law_no_held_out_example_comes_twice(task: Task, seed: int) -> None:
    for split in ("validation", "test"):
        rows = Counter(_rows(_joined(task.evaluation_batches(split, batch_size=64))))
        assert set(rows.values()) == {1}


def law_uniform_logits_cost_the_logarithm_of_the_outputs(task: Task, seed: int) -> None:
    expected = math.log(task.signature.num_outputs)
    for batch in _a_few_batches(task, seed):
        logits = torch.full(_logits_shape(task, batch), 0.7)
        assert math.isclose(task.loss(logits, batch).item(), expected, rel_tol=1e-5)
        total, count = task.tally(logits, batch)["loss"]
        assert math.isclose(total / count, expected, rel_tol=1e-5)


def law_loss_and_tally_agree(task: Task, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for batch in _a_few_batches(task, seed):
        logits = 3 * torch.randn(_logits_shape(task, batch), generator=generator)
        loss = task.loss(logits, batch)
        assert loss.shape == ()
        total, count = task.tally(logits, batch)["loss"]
        assert math.isclose(loss.item(), total / count, rel_tol=1e-5)


def law_half_precision_logits_are_scored_in_float32(task: Task, seed: int) -> None:
    batch = task.train_batch(0, seed=seed, batch_size=16)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(_logits_shape(task, batch), generator=generator).bfloat16()
    assert torch.equal(task.loss(logits, batch), task.loss(logits.float(), batch))
    assert task.tally(logits, batch) == task.tally(logits.float(), batch)


def law_right_answers_score_best(task: Task, seed: int) -> None:
    metric = task.metric
    best = metric.ceiling if metric.ceiling is not None else 0.0
    for split in ("validation", "test"):
        for batch in task.evaluation_batches(split, batch_size=64):
            assert math.isclose(_score(task, batch, batch.targets), best, abs_tol=1e-6)
            wrong = (batch.targets + 1) % task.signature.num_outputs
            score = _score(task, batch, wrong)
            assert score < best if metric.higher_is_better else score > best


def law_tallies_add_up(task: Task, seed: int) -> None:
    whole = _joined(task.evaluation_batches("test", batch_size=64))
    logits = torch.randn(_logits_shape(task, whole), generator=torch.Generator().manual_seed(seed))
    expected = task.tally(logits, whole)
    assert "loss" in expected
    assert task.metric.name in task.metrics(_tally_answers(task, whole, whole.targets))
    for batch_size in (1, 5, 64):
        added: Tallies = dict.fromkeys(expected, (0.0, 0.0))
        start = 0
        for batch in task.evaluation_batches("test", batch_size=batch_size):
            part = task.tally(_rows_of(logits, start, batch), batch)
            assert set(part) <= set(added)
            for name, (total, count) in part.items():
                added[name] = (added[name][0] + total, added[name][1] + count)
            start += len(batch.inputs)
        for name, (total, count) in expected.items():
            assert added[name][1] == count
            assert math.isclose(added[name][0], total, rel_tol=1e-5, abs_tol=1e-6)


def law_only_positions_that_count_are_scored(task: Task, seed: int) -> None:
    batch = task.train_batch(0, seed=seed, batch_size=16)
    logits = torch.randn(_logits_shape(task, batch), generator=torch.Generator().manual_seed(seed))
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(logits, batch), logits)
    felt = gradient.abs().sum(-1) > 0
    counts = torch.ones_like(felt) if batch.mask is None else batch.mask
    assert torch.equal(felt, counts)
    noise = torch.where(counts[..., None], logits.detach(), 5 * logits.detach().roll(1, 0) + 1)
    assert torch.equal(task.loss(noise, batch), task.loss(logits, batch).detach())
    assert task.tally(noise, batch) == task.tally(logits.detach(), batch)


def law_an_unmasked_target_is_the_next_token(task: Task, seed: int) -> None:
    if task.signature.kind != "next_token":
        return
    assert task.signature.causal
    for batch in _a_few_batches(task, seed):
        if batch.mask is None:
            assert torch.equal(batch.targets[:, :-1], batch.inputs[:, 1:])


def law_a_decoder_reads_its_target_one_step_late(task: Task, seed: int) -> None:
    if task.signature.kind != "sequence_to_sequence":
        return
    assert task.signature.causal
    for batch in _a_few_batches(task, seed):
        assert batch.mask is not None
        lengths = batch.mask.sum(dim=1)
        for inputs, targets, n in zip(batch.inputs, batch.targets, lengths.tolist(), strict=True):
            assert inputs[0] == START
            assert torch.equal(inputs[1:n], targets[: n - 1])
            assert (targets == END).nonzero().flatten().tolist() == [n - 1]
        for row in _rows(batch):
            assert row.endswith(END.to_bytes(8, "little"))


def law_baselines_are_scores_best_last(task: Task, seed: int) -> None:
    baselines = task.baselines()
    values = [baseline.value for baseline in baselines]
    assert values
    assert all(math.isfinite(value) for value in values)
    assert values == sorted(values, reverse=not task.metric.higher_is_better)
    assert len({baseline.name for baseline in baselines}) == len(baselines)
    assert any(baseline.guess for baseline in baselines)
    for baseline in baselines:
        assert task.metric.name not in baseline.extra_metrics
        assert all(0 <= value <= 1 for value in baseline.extra_metrics.values())
    if task.metric.ceiling is not None:
        assert max(values) <= task.metric.ceiling
    assert baselines == task.baselines() == build_task(task.kind, task.options).baselines()


def law_kind_and_options_rebuild_the_task(task: Task, seed: int) -> None:
    options = json.loads(json.dumps(task.options))
    assert options == task.options
    again = build_task(task.kind, options)
    assert again is build_task(task.kind, dict(reversed(options.items())))
    assert (again.digest, again.signature, again.name) == (task.digest, task.signature, task.name)
    assert (again.description, again.notices) == (task.description, task.notices)
    assert again.classes == task.classes
    assert len(task.classes) == (task.signature.num_outputs if task.signature.kind == "classification" else 0)
    assert again.options == task.options
    for split in ("validation", "test"):
        mine, its = (_joined(t.evaluation_batches(split, batch_size=64)) for t in (task, again))
        assert _equal(mine, its)


LAWS: tuple[Callable[[Task, int], None], ...] = tuple(
    law for name, law in sorted(globals().items()) if name.startswith("law_")
)


def _a_few_batches(task: Task, seed: int) -> Iterator[Batch]:
    for step in (0, 1, seed % 1000):
        yield task.train_batch(step, seed=seed, batch_size=16)
    yield from task.evaluation_batches("validation", batch_size=32)
    yield from task.evaluation_batches("test", batch_size=32)


def _logits_shape(task: Task, batch: Batch) -> tuple[int, ...]:
    return (*batch.targets.shape, task.signature.num_outputs)


def _sharp_logits(task: Task, batch: Batch, answers: Tensor) -> Tensor:
    return torch.zeros(_logits_shape(task, batch)).scatter_(-1, answers[..., None], SHARP)


def _tally_answers(task: Task, batch: Batch, answers: Tensor) -> Tallies:
    """The tallies of a model that is sure of ``answers``, and that writes them."""
    tallies = task.tally(_sharp_logits(task, batch, answers), batch)
    if isinstance(task, SequenceToSequence):
        tallies |= task.tally_written(answers, batch)
    return tallies


def _score(task: Task, batch: Batch, answers: Tensor) -> float:
    """The metric of that model on one batch."""
    return task.metrics(_tally_answers(task, batch, answers))[task.metric.name]


def _length(task: Task, batch: Batch) -> int:
    """Of sequences to predict: the task's length; pairs may be shorter, as short as their longest."""
    if batch.source is None:
        return task.signature.length
    assert batch.mask is not None
    assert batch.inputs.shape[1] <= task.signature.length
    return int(batch.mask.sum(dim=1).max())


def _rows_of(logits: Tensor, start: int, batch: Batch) -> Tensor:
    """The part of a split's logits that belongs to a batch of it, which may be padded to less."""
    part = logits[start : start + len(batch.inputs)]
    return part if batch.source is None else part[:, : batch.inputs.shape[1]]


def _joined(batches: Iterator[Batch]) -> Batch:
    parts = list(batches)
    lengths = [
        part.source.new_full((len(part.source),), part.source.shape[1])
        if part.source_lengths is None
        else part.source_lengths
        for part in parts
        if part.source is not None
    ]
    return Batch(
        _stacked([part.inputs for part in parts]),
        _stacked([part.targets for part in parts]),
        _stacked([part.mask for part in parts if part.mask is not None]),
        _stacked([part.source for part in parts if part.source is not None]),
        torch.cat(lengths) if lengths else None,
        _stacked([part.lengths for part in parts if part.lengths is not None]),
    )


def _stacked(parts: list[Tensor]) -> Tensor | None:
    """All rows, padded to the longest part."""
    if not parts or parts[0].ndim != 2:
        return torch.cat(parts) if parts else None
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[1])) for part in parts])


def _rows(batch: Batch) -> list[bytes]:
    """The examples' inputs, without padding."""
    if batch.source is None:
        return [row.numpy().tobytes() for row in batch.inputs]
    lengths = [batch.source.shape[1]] * len(batch.source)
    if batch.source_lengths is not None:
        lengths = batch.source_lengths.tolist()
    return [row[:n].numpy().tobytes() for row, n in zip(batch.source, lengths, strict=True)]


def _equal(one: Batch, other: Batch) -> bool:
    mine, its = ((b.inputs, b.targets, b.mask, b.source, b.source_lengths, b.lengths) for b in (one, other))
    return all(
        a is b if a is None or b is None else torch.equal(a, b) for a, b in zip(mine, its, strict=True)
    )
