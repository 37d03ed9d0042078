"""An interrupted run goes on and ends as it would have, bit by bit."""

from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from globalconv.errors import InputError
from globalconv.training import Evaluation, FitResult, fit
from globalconv.training.checkpoint import load_checkpoint
from tests.training.fake_task import Halves, model, settings
from tests.training.test_fit import equal, scores, weights

pytestmark = pytest.mark.usefixtures("frequent_checkpoints")


class Killed(BaseException):
    """Nothing that anybody catches."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[FitResult, dict[str, torch.Tensor], Path]:
    directory, trained = tmp_path_factory.mktemp("uninterrupted"), model()
    result = fit(trained, Halves(), settings(), directory=directory, seed=0)
    return result, weights(trained), directory


def kill_at(step: int):
    def on_evaluation(evaluation: Evaluation) -> None:
        if evaluation.step == step:
            raise Killed

    return on_evaluation


def start(directory: Path, *, until: int) -> None:
    """A run that is killed after its evaluation at step ``until``, before that is written to a checkpoint."""
    with pytest.raises(Killed):
        fit(model(), Halves(), settings(), directory=directory, seed=0, on_evaluation=kill_at(until))


def assert_same_end(directory: Path, uninterrupted) -> FitResult:
    expected, expected_weights, expected_directory = uninterrupted
    # Another generator state and other weights than at the start: all must come from the checkpoint.
    trained = model(seed=99) if (directory / "last.safetensors").exists() else model()
    result = fit(trained, Halves(), settings(), directory=directory, seed=0)
    assert scores(result.curve) == scores(expected.curve)
    assert (result.status, result.best_step) == (expected.status, expected.best_step)
    assert equal(weights(trained), expected_weights)
    best, expected_best = (
        load_checkpoint(d / "best.safetensors").tensors for d in (directory, expected_directory)
    )
    assert equal(best, expected_best)
    assert [p.name for p in directory.iterdir()] == ["best.safetensors"]
    return result


@pytest.mark.parametrize("until", [5, 10, 20, 40])
def test_killed_before_a_checkpoint_is_written(until, tmp_path, uninterrupted):
    start(tmp_path, until=until)
    assert (tmp_path / "last.safetensors").exists() == (until > 5)
    assert_same_end(tmp_path, uninterrupted)


@pytest.mark.parametrize("until", [5, 20, 35])
def test_killed_after_a_checkpoint_is_written(until, tmp_path, uninterrupted, fit_module, monkeypatch):
    save_last = fit_module._save_last

    def save_and_die(directory, model, optimizer, step, result, **rest):
        save_last(directory, model, optimizer, step, result, **rest)
        if step == until:
            raise Killed

    monkeypatch.setattr(fit_module, "_save_last", save_and_die)
    with pytest.raises(Killed):
        fit(model(), Halves(), settings(), directory=tmp_path, seed=0)
    monkeypatch.setattr(fit_module, "_save_last", save_last)
    seconds = load_checkpoint(tmp_path / "last.safetensors").facts["seconds"]
    result = assert_same_end(tmp_path, uninterrupted)
    assert result.seconds > seconds
    assert not result.notices


def test_killed_in_the_middle_of_a_step(tmp_path, uninterrupted):
    class Stops(Halves):
        def train_batch(self, step, *, seed, batch_size):
            if step == 23:
                raise Killed
            return super().train_batch(step, seed=seed, batch_size=batch_size)

    with pytest.raises(Killed):
        fit(model(), Stops(), settings(), directory=tmp_path, seed=0)
    assert_same_end(tmp_path, uninterrupted)


def test_killed_over_and_over(tmp_path, uninterrupted):
    for until in (10, 20, 20, 35, 40):
        start(tmp_path, until=until)
    assert_same_end(tmp_path, uninterrupted)


def test_the_learning_rate_goes_on_where_it_stood(tmp_path):
    rates: list[list[float]] = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, _, __: rates.append([group["lr"] for group in optimizer.param_groups])
    )
    try:
        fit(model(), Halves(), settings(), directory=tmp_path / "whole", seed=0)
        whole, rates[:] = list(rates), []
        start(tmp_path / "parts", until=20)
        rates.clear()
        fit(model(), Halves(), settings(), directory=tmp_path / "parts", seed=0)
    finally:
        hook.remove()
    assert len(whole) == 40
    assert rates == whole[15:]


@pytest.mark.parametrize("left", [0, 7, 100, 2000, -1], ids=lambda left: f"{left} bytes left")
def test_a_broken_checkpoint_begins_again_and_says_so(left, tmp_path, uninterrupted):
    start(tmp_path, until=20)
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:left])
    trained = model()
    result = fit(trained, Halves(), settings(), directory=tmp_path, seed=0)
    assert len(result.notices) == 1
    assert "started again" in result.notices[0]
    assert scores(result.curve) == scores(uninterrupted[0].curve)
    assert equal(weights(trained), uninterrupted[1])


def test_checkpoints_are_only_written_when_due(tmp_path, fit_module, monkeypatch):
    monkeypatch.setattr(fit_module, "SECONDS_BETWEEN_CHECKPOINTS", 3600.0)
    start(tmp_path, until=20)
    assert [p.name for p in tmp_path.iterdir()] == ["best.safetensors"]


class OtherData(Halves):
    def __init__(self) -> None:
        super().__init__()
        self.digest = "other"


@pytest.mark.parametrize(
    ("task", "changed", "seed"),
    [(Halves, {"learning_rate": 1e-3}, 0), (Halves, {"steps": 90}, 0), (Halves, {}, 1), (OtherData, {}, 0)],
    ids=["learning rate", "steps", "seed", "data"],
)
def test_another_run_in_its_directory_is_refused(task, changed, seed, tmp_path, uninterrupted):
    start(tmp_path, until=20)
    with pytest.raises(InputError, match="interrupted run"):
        fit(model(), task(), settings(**changed), directory=tmp_path, seed=seed)
    assert_same_end(tmp_path, uninterrupted)
