"""Every task obeys the contract, and the contract catches tasks that do not."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from globalconv.tasks import (
    TASKS,
    Baseline,
    Batch,
    Copy,
    Digits,
    NumberWords,
    Recall,
    Reverse,
    Tallies,
    Task,
    Text,
)
from globalconv.tasks.base import EvaluationSplit
from globalconv.tasks.sequence_to_sequence import END, FIRST_SYMBOL
from tests.contracts.task_contract import LAWS
from tests.tasks.examples import SMALL_TASKS, write_prose


@pytest.fixture(scope="module", params=SMALL_TASKS)
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Task:
    return SMALL_TASKS[request.param](tmp_path_factory.mktemp("data"), np.random.default_rng())


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(task: Task, law: Callable[[Task, int], None], seed: int):
    law(task, seed)


def test_every_kind_of_task_is_in_the_suite(tmp_path: Path):
    tasks = [build(tmp_path, np.random.default_rng()) for build in SMALL_TASKS.values()]
    assert {task.kind for task in tasks} == set(TASKS)


class CountsItsCalls(Digits):
    calls = 0

    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        self.calls += 1
        return super().train_batch(step + self.calls, seed=seed, batch_size=batch_size)


class IgnoresTheSeed(Digits):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        return super().train_batch(step, seed=0, batch_size=batch_size)


class IgnoresTheStep(Digits):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        return super().train_batch(0, seed=seed, batch_size=batch_size)


class TrainsOnTheTest(Digits):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        stolen = next(self.evaluation_batches("test", batch_size=batch_size))
        return stolen if step == 7 else drawn


class ValidatesOnTheTest(Digits):
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        return super().evaluation_batches("test", batch_size=batch_size)


class ShufflesTheTest(Digits):
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        for batch in super().evaluation_batches(split, batch_size=batch_size):
            order = torch.randperm(len(batch.inputs))
            yield Batch(batch.inputs[order], batch.targets[order])


class DropsTheLastBatch(Digits):
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        batches = super().evaluation_batches(split, batch_size=batch_size)
        return (batch for batch in batches if len(batch.inputs) == batch_size)


class RepeatsAnExample(Digits):
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        first = next(super().evaluation_batches(split, batch_size=1))
        return itertools.chain([first], super().evaluation_batches(split, batch_size=batch_size))


class GivesFloat64(Digits):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        return replace(drawn, inputs=drawn.inputs.double())


class GivesItsOwnTensors(Recall):
    def evaluation_batches(self, split: EvaluationSplit, *, batch_size: int) -> Iterator[Batch]:
        yield self._held_out[split]


class TargetsShareMemory(Text):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        tokens = torch.cat([drawn.inputs, drawn.targets[:, -1:]], 1)
        return Batch(tokens[:, :-1], tokens[:, 1:])


class CopiesItsInput(Text):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        return Batch(drawn.inputs, drawn.inputs.clone())


class ScoresEveryPosition(Recall):
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits, replace(batch, mask=None), label_smoothing=label_smoothing)


class TalliesEveryPosition(Recall):
    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return super().tally(logits, replace(batch, mask=None))


class LossInBits(Digits):
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return super().loss(logits, batch, label_smoothing=label_smoothing) / math.log(2)


class SmoothsItsLoss(Digits):
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits.float(), batch.targets, label_smoothing=0.1)


class ScoresInHalfPrecision(Text):
    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


class TalliesMeans(Digits):
    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        return {name: (total / count, 1.0) for name, (total, count) in super().tally(logits, batch).items()}


class TalliesErrors(Digits):
    def tally(self, logits: Tensor, batch: Batch) -> Tallies:
        tallies = super().tally(logits, batch)
        right, count = tallies["accuracy"]
        return {**tallies, "accuracy": (count - right, count)}


class BaselinesVary(Digits):
    def baselines(self) -> list[Baseline]:
        return [Baseline("guess", torch.rand(()).item(), guess=True)]


class BaselinesWorstLast(Text):
    def baselines(self) -> list[Baseline]:
        return super().baselines()[::-1]


class ForgetsItsOptions(Recall):
    def __init__(self) -> None:
        super().__init__(length=40)
        self.options = {}


class ShowsTheAnswer(Copy):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        return replace(drawn, inputs=drawn.targets.clone())


class ForgetsTheEnd(Reverse):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        drawn = super().train_batch(step, seed=seed, batch_size=batch_size)
        assert drawn.mask is not None
        return replace(drawn, mask=drawn.mask & (drawn.targets != END))


class ScoresWithoutTheEnd(Copy):
    def tally_written(self, written: Tensor, batch: Batch) -> Tallies:
        exact = ((written == batch.targets) | (written < FIRST_SYMBOL)).all(dim=1).sum()
        return {"exact_match": (float(exact + 1), float(len(written)))}


class TrainsOnHeldOut(NumberWords):
    def train_batch(self, step: int, *, seed: int, batch_size: int) -> Batch:
        rng = np.random.default_rng((seed, step))
        return self._batch([self.draw_source(rng) for _ in range(batch_size)])


MUTANTS: dict[type[Task], str] = {
    CountsItsCalls: "law_a_training_batch_is_a_pure_function",
    IgnoresTheSeed: "law_steps_and_seeds_matter",
    IgnoresTheStep: "law_steps_and_seeds_matter",
    TrainsOnTheTest: "law_splits_are_disjoint",
    ValidatesOnTheTest: "law_splits_are_disjoint",
    ShufflesTheTest: "law_evaluation_is_the_same_every_time",
    DropsTheLastBatch: "law_evaluation_is_the_same_every_time",
    RepeatsAnExample: "law_no_held_out_example_comes_twice",
    GivesFloat64: "law_shapes_match_the_signature",
    GivesItsOwnTensors: "law_a_batch_may_be_overwritten",
    TargetsShareMemory: "law_a_batch_may_be_overwritten",
    CopiesItsInput: "law_an_unmasked_target_is_the_next_token",
    ScoresEveryPosition: "law_only_positions_that_count_are_scored",
    TalliesEveryPosition: "law_only_positions_that_count_are_scored",
    LossInBits: "law_uniform_logits_cost_the_logarithm_of_the_outputs",
    SmoothsItsLoss: "law_loss_and_tally_agree",
    ScoresInHalfPrecision: "law_half_precision_logits_are_scored_in_float32",
    TalliesMeans: "law_tallies_add_up",
    TalliesErrors: "law_right_answers_score_best",
    BaselinesVary: "law_baselines_are_scores_best_last",
    BaselinesWorstLast: "law_baselines_are_scores_best_last",
    ShowsTheAnswer: "law_a_decoder_reads_its_target_one_step_late",
    ForgetsTheEnd: "law_a_decoder_reads_its_target_one_step_late",
    ScoresWithoutTheEnd: "law_right_answers_score_best",
    TrainsOnHeldOut: "law_splits_are_disjoint",
    ForgetsItsOptions: "law_kind_and_options_rebuild_the_task",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_contract_catches(mutant: type[Task], tmp_path: Path, seed: int):
    if issubclass(mutant, Text):
        task = mutant(str(write_prose(tmp_path / "prose.txt", np.random.default_rng(seed), 20_000)), 24)
    else:
        task = mutant()
    (law,) = (law for law in LAWS if law.__name__ == MUTANTS[mutant])
    with pytest.raises(AssertionError):
        law(task, seed)
