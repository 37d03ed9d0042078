"""An encoder-decoder in the one loop: what it writes is scored, label smoothing is in training only."""

import itertools

import pytest
import torch
from torch import Tensor

from globalconv.mixers import build_mixer
from globalconv.models.encoder_decoder_designs import Size, build_encoder_decoder
from globalconv.tasks import Batch, Copy, Reverse, Tallies
from globalconv.tasks.sequence_to_sequence import END, PADDING, START
from globalconv.training import TrainingSettings, fit, load_best
from globalconv.training.evaluate import evaluate, write_answers
from globalconv.training.recipe import ORIGINAL_RECIPE
from tests.models.padded import OneByOne

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def task() -> Copy:
    return Copy(4, 5, num_validation=24, num_test=24)


def model(task: Copy, *, seed: int = 0, dropout: float = 0.0):
    torch.manual_seed(seed)
    return build_encoder_decoder(
        task.signature.vocabulary, 5, Size(16, 1, 2, 32, dropout), encoder="global_conv"
    )


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(steps=12, batch_size=8, learning_rate=3e-3, evaluations=3, **changes)


class Notes(Copy):
    """It notes what it is asked to score."""

    def __init__(self) -> None:
        super().__init__(4, 5, num_validation=24, num_test=24)
        self.written: list[Tensor] = []
        self.smoothing: set[float] = set()

    def tally_written(self, written: Tensor, batch: Batch) -> Tallies:
        self.written.append(written)
        return super().tally_written(written, batch)

    def loss(self, logits: Tensor, batch: Batch, *, label_smoothing: float = 0.0) -> Tensor:
        self.smoothing.add(label_smoothing)
        return super().loss(logits, batch, label_smoothing=label_smoothing)


def test_a_small_one_learns_to_copy(tmp_path, task):
    recipe = TrainingSettings(
        steps=250, batch_size=64, learning_rate=5e-3, evaluations=2, warmup=0.2, **ORIGINAL_RECIPE
    )
    torch.manual_seed(0)
    net = build_encoder_decoder(task.signature.vocabulary, 5, Size(32, 1, 2, 64, 0.0))
    result = fit(net, task, recipe, directory=tmp_path, seed=0)
    assert result.curve[-1].validation["exact_match"] > 0.9


def test_what_the_model_writes_is_what_is_scored():
    task = Notes()
    net = model(task)
    scores = evaluate(net, task, "test", batch_size=10, device=CPU)
    assert [len(written) for written in task.written] == [10, 10, 4]
    assert {"loss", "accuracy", "exact_match", "token_accuracy"} == set(scores)
    (batch,) = task.evaluation_batches("test", batch_size=24)
    written = torch.full((24, 5), -1)
    for row, part in zip(written, itertools.chain(*task.written), strict=True):
        row[: len(part)] = part
    total, count = task.tally_written(written, batch)["token_accuracy"]
    assert scores["token_accuracy"] == total / count
    assert net.training


def test_padding_does_not_change_a_score(monkeypatch):
    """A split of many lengths scores the same in one padded batch and one by one, however it is written."""

    def padded(*arguments, **options):
        return OneByOne(build_mixer(*arguments, **options))

    monkeypatch.setattr("globalconv.models.encoder_decoder_designs.build_mixer", padded)
    task = Reverse(7, 5, min_length=2, num_validation=24, num_test=24)
    torch.manual_seed(0)
    net = build_encoder_decoder(
        task.signature.vocabulary, 8, Size(16, 1, 2, 32, 0.0), encoder="gated_conv", cross="aligned_conv"
    )
    for beams in (1, 3):
        task.beams = beams
        whole, one_by_one = (
            evaluate(net.double(), task, "test", batch_size=size, device=CPU) for size in (24, 1)
        )
        assert whole == pytest.approx(one_by_one)
    assert 0 < whole["token_accuracy"] < 1


def test_labels_are_smoothed_in_training_and_plain_in_evaluation(tmp_path, task):
    noted = Notes()
    fit(model(noted), noted, settings(label_smoothing=0.1), directory=tmp_path, seed=0)
    assert noted.smoothing == {0.1}
    net = model(task)
    batch = task.train_batch(0, seed=0, batch_size=8)
    logits = net(*batch.arguments)
    plain = task.loss(logits, batch)
    (loss, count) = task.tally(logits, batch)["loss"]
    assert torch.isclose(plain, torch.tensor(loss / count, dtype=torch.float32))
    uniform = -logits.log_softmax(-1).mean(-1)[batch.mask].mean()
    torch.testing.assert_close(task.loss(logits, batch, label_smoothing=0.1), 0.9 * plain + 0.1 * uniform)


def test_an_interrupted_run_ends_as_it_would_have(tmp_path, task, frequent_checkpoints):
    class Stop(Exception):
        pass

    def stop(evaluation):
        if evaluation.step == 8:
            raise Stop

    chosen = settings(schedule="inverse_sqrt", betas=(0.9, 0.98), clip_norm=None)
    whole = model(task, dropout=0.1)
    expected = fit(whole, task, chosen, directory=tmp_path / "whole", seed=3)
    with pytest.raises(Stop):
        fit(model(task, dropout=0.1), task, chosen, directory=tmp_path / "cut", seed=3, on_evaluation=stop)
    resumed = model(task, seed=9, dropout=0.1)
    again = fit(resumed, task, chosen, directory=tmp_path / "cut", seed=3)
    assert [e.validation for e in again.curve] == [e.validation for e in expected.curve]
    load_best(tmp_path / "cut", resumed)
    load_best(tmp_path / "whole", whole)
    for mine, its in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(mine, its)


@pytest.mark.parametrize(
    "changed",
    [
        {"betas": (0.9, 0.5)},
        {"epsilon": 1e-2},
        {"schedule": "inverse_sqrt"},
        {"clip_norm": 1e-3},
        {"label_smoothing": 0.3},
    ],
)
def test_no_option_is_ignored(tmp_path, task, changed):
    nets = []
    for name, options in (("as it is", {}), ("changed", changed)):
        nets.append(model(task))
        fit(nets[-1], task, settings(**options), directory=tmp_path / name, seed=0)
    assert not torch.equal(nets[0].embed.weight, nets[1].embed.weight)


def test_answers_are_what_the_parallel_pass_finds_likeliest(task):
    net = model(task, dropout=0.3).eval()
    for batch in task.evaluation_batches("test", batch_size=9):
        written = write_answers(net, task, batch, beams=1)
        target = torch.full((len(batch.source), 1), START)
        for _ in range(task.signature.length):
            with torch.no_grad():
                logits = net(batch.source, target, batch.source_lengths)
            target = torch.cat([target, logits[:, -1:].argmax(-1)], dim=1)
        for row, said in zip(written.tolist(), target[:, 1:].tolist(), strict=True):
            ended = said.index(END) + 1 if END in said else len(said)
            assert row == [*said[:ended], *[PADDING] * (written.shape[1] - ended)]


def test_several_beams_find_better_answers_than_one(task):
    net = model(task).eval()
    (batch,) = task.evaluation_batches("test", batch_size=24)
    one, many = (scores(net, batch, write_answers(net, task, batch, beams=beams)) for beams in (1, 20))
    assert many.mean() > one.mean() + 0.01


@torch.no_grad()
def scores(net, batch: Batch, written: Tensor) -> Tensor:
    """Of each row, what the search ranks by."""
    target = torch.cat([torch.full((len(written), 1), START), written], dim=1)
    chances = net(batch.source, target[:, :-1], batch.source_lengths).log_softmax(-1)
    ended = (written == END).cumsum(1)
    said = (ended == 0) | ((ended == 1) & (written == END))
    lengths = said.sum(1)
    total = torch.where(said, chances.gather(2, written[..., None]).squeeze(2), 0).sum(1)
    return total / ((5 + lengths) / 6) ** 0.6
