"""Scores on test splits that were drawn again: paired over models, and as wide as the examples are few."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from globalconv.tasks import Digits, Tallies, Task, Translation
from globalconv.training import bootstrap
from globalconv.training.bootstrap import RESAMPLES, resampled_scores
from globalconv.training.evaluate import added_up, evaluate, tally_each
from tests.tasks.examples import SMALL_TASKS, write_parallel_text

Resample = Callable[[list[Tallies], Task], list[float]]


class Random(nn.Module):
    """Logits that depend on the input, and on nothing else."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        shape = (
            (len(inputs),) if self.task.signature.kind == "classification" else (len(inputs), inputs.shape[1])
        )
        rows = inputs.double().reshape(len(inputs), -1).mean(1)
        places = torch.arange(1.0, 1.0 + self.task.signature.num_outputs)
        logits = torch.cos(1e3 * rows[:, None] * places).float()
        return logits if len(shape) == 1 else logits[:, None].expand(*shape, -1)


@pytest.mark.parametrize("name", ["digits", "recall", "text"])
def test_the_tallies_of_single_examples_add_up_to_the_split_s_scores(name, tmp_path):
    build = next(build for key, build in SMALL_TASKS.items() if key.startswith(name))
    task = build(tmp_path, np.random.default_rng())
    model, here = Random(task), torch.device("cpu")
    each = tally_each(model, task, "test", batch_size=32, device=here)
    whole = evaluate(model, task, "test", batch_size=50, device=here)
    assert len(each) == sum(len(b.inputs) for b in task.evaluation_batches("test", batch_size=50))
    assert task.metrics(added_up(each)) == pytest.approx(whole, rel=1e-5)


def accuracies(right: np.ndarray) -> list[Tallies]:
    return [{"accuracy": (float(one), 1.0), "loss": (1.0, 1.0)} for one in right]


def law_the_spread_is_that_of_the_mean(resample: Resample, rng: np.random.Generator) -> None:
    right = rng.random(360) < 0.9
    scores = resample(accuracies(right), Digits())
    assert len(scores) == RESAMPLES
    expected = np.std(right) / np.sqrt(len(right))
    # The deviation of 1000 draws is known to 2.2 %, their mean to a 32nd of it; five times that is an error.
    assert np.std(scores) == pytest.approx(expected, rel=0.12)
    assert np.mean(scores) == pytest.approx(right.mean(), abs=5 * expected / np.sqrt(RESAMPLES))


def law_models_are_drawn_the_same_examples(resample: Resample, rng: np.random.Generator) -> None:
    """Where a model is right on 36 more examples of 360 than another, the difference has the spread of those."""
    worse = rng.random(360) < 0.5
    better = worse.copy()
    better[np.flatnonzero(~worse)[:36]] = True
    gains = np.subtract(*(resample(accuracies(right), Digits()) for right in (better, worse)))
    assert gains.min() >= 0
    assert np.std(gains) == pytest.approx(np.std(better ^ worse) / np.sqrt(360), rel=0.12)


LAWS = [law_the_spread_is_that_of_the_mean, law_models_are_drawn_the_same_examples]


@pytest.mark.parametrize("law", LAWS)
def test_law(law, seed):
    law(resampled_scores, np.random.default_rng(seed))


@pytest.mark.parametrize("most", [1, 37 * 360, 500 * 360])
def test_the_draws_are_the_same_however_many_are_held_at_once(most, seed, monkeypatch):
    examples = accuracies(np.random.default_rng(seed).random(360) < 0.7)
    expected = resampled_scores(examples, Digits())
    monkeypatch.setattr(bootstrap, "MOST_NUMBERS", most)
    assert resampled_scores(examples, Digits()) == expected


def test_memory_does_not_grow_with_examples_times_resamples(monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)
    monkeypatch.setattr(bootstrap, "MOST_NUMBERS", 1 << 16)
    examples, task = accuracies(np.ones(20_000)), Digits()
    tracemalloc.start()
    try:
        assert resampled_scores(examples, task) == [1.0] * 100
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6  # half of the draws alone


def without_replacement(examples, task):
    return RESAMPLES * [task.metrics(added_up(examples))["accuracy"]]


def drawn_anew_for_every_model(examples, task):
    rng = np.random.default_rng()
    draws = [rng.choice(len(examples), len(examples)) for _ in range(RESAMPLES)]
    return [task.metrics(added_up(examples[i] for i in draw))["accuracy"] for draw in draws]


@pytest.mark.parametrize(
    ("mutant", "law"),
    [
        (without_replacement, law_the_spread_is_that_of_the_mean),
        (drawn_anew_for_every_model, law_models_are_drawn_the_same_examples),
    ],
)
def test_wrong_ways_to_resample_break_a_law(mutant, law, seed):
    with pytest.raises(AssertionError):
        law(mutant, np.random.default_rng(seed))


def test_bleu_of_a_resample_is_the_corpus_s_and_not_a_mean_of_sentences(tmp_path, seed):
    """One of sentences that are drawn twice, or left out, as sacrebleu scores that very list."""
    sacrebleu = pytest.importorskip("sacrebleu.metrics")
    from globalconv.tasks.translation_scores import tally_translations

    rng = np.random.default_rng(seed)
    task = Translation(str(write_parallel_text(tmp_path / "pairs.tsv", rng)))
    words = ["the", "cat", "sat", "on", "a", "mat"]
    due = [" ".join(rng.choice(words, 8)) for _ in range(12)]
    said = [" ".join(w if rng.random() < 0.8 else "dog" for w in line.split()) for line in due]
    each = [tally_translations([s], [d]) for s, d in zip(said, due, strict=True)]
    found = resampled_scores(each, task)

    def bleu(which):
        return sacrebleu.BLEU().corpus_score([said[i] for i in which], [[due[i] for i in which]]).score

    spread = [bleu(rng.integers(0, 12, 12)) for _ in range(400)]
    assert np.std(found) == pytest.approx(np.std(spread), rel=0.25)
    assert np.mean(found) == pytest.approx(np.mean(spread), abs=6 * np.std(spread) / 20)
    alone = resampled_scores(each[:1], task)
    assert alone == pytest.approx([bleu([0])] * RESAMPLES, rel=1e-5)
