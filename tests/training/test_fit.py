"""What fit() leaves behind: a curve, the best weights, and a status."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator, debug_launcher

from globalconv.tasks.base import Batch
from globalconv.training import Evaluation, fit, load_best
from globalconv.training import fit as fit_function
from globalconv.training.evaluate import evaluate
from globalconv.training.fit import _share
from tests.training.fake_task import HELD_OUT, Halves, model, settings

CPU = torch.device("cpu")


def weights(of: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in of.state_dict().items()}


def equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(t, others[name]) for name, t in some.items())


def scores(curve: list[Evaluation]) -> list[tuple[int, float, dict[str, float]]]:
    """A curve without its seconds."""
    return [(e.step, e.train_loss, e.validation) for e in curve]


def test_it_learns(tmp_path, seed):
    result = fit(
        model(seed), Halves(), settings(steps=150, learning_rate=1e-2), directory=tmp_path, seed=seed
    )
    assert result.status == "finished"
    assert not result.notices
    first, last = result.curve[0], result.curve[-1]
    assert last.train_loss < 0.7 * first.train_loss
    assert last.validation["loss"] < 0.7 * first.validation["loss"]
    assert last.validation["accuracy"] > 0.8


def test_the_curve_has_a_point_at_every_evaluation_step(tmp_path, seed):
    task, chosen = Halves(), settings(steps=47, evaluations=5)
    seen: list[Evaluation] = []
    result = fit(model(), task, chosen, directory=tmp_path, seed=seed, on_evaluation=seen.append)
    assert seen == result.curve
    steps = [e.step for e in result.curve]
    assert steps == chosen.evaluation_steps()
    assert steps[-1] == 47
    assert len(task.losses) == 47
    for before, point in zip([0, *steps], result.curve, strict=False):
        mean = sum(task.losses[before : point.step]) / (point.step - before)
        assert math.isclose(point.train_loss, mean, rel_tol=1e-5)
    seconds = [e.seconds for e in result.curve]
    assert 0 < seconds[0] < seconds[-1] <= result.seconds
    assert 0 < result.seconds_per_step < result.seconds


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([0.1, 0.9, 0.5, 0.3], 2),
        ([0.1, 0.2, 0.3, 0.4], 4),
        ([0.4, 0.3, 0.2, 0.1], 1),
        ([0.2, 0.7, 0.7, 0.1], 2),
    ],
    ids=str,
)
def test_the_best_on_validation_is_kept_to_the_last_bit(script, best, lower, tmp_path):
    task = Halves(scores=[-s for s in script] if lower else script, lower=lower)
    trained, kept = model(), {}
    result = fit(
        trained,
        task,
        settings(steps=20, evaluations=4),
        directory=tmp_path,
        seed=0,
        on_evaluation=lambda evaluation: kept.update({evaluation.step: weights(trained)}),
    )
    assert result.best_step == 5 * best
    restored = model(seed=1)
    load_best(tmp_path, restored)
    assert equal(weights(restored), kept[5 * best])
    assert equal(weights(trained), kept[20])
    assert not equal(kept[5], kept[20])


def test_what_is_reported_for_the_best_step_is_what_its_weights_score(tmp_path, seed):
    task = Halves()
    result = fit(model(), task, settings(), directory=tmp_path, seed=seed)
    restored = model(seed=1)
    load_best(tmp_path, restored)
    (reported,) = [e.validation for e in result.curve if e.step == result.best_step]
    assert evaluate(restored, task, "validation", batch_size=128, device=CPU) == reported
    assert reported["accuracy"] == max(e.validation["accuracy"] for e in result.curve)


def test_only_the_best_checkpoint_is_left(tmp_path):
    fit(model(), Halves(), settings(), directory=tmp_path / "new" / "directory", seed=0)
    assert [p.name for p in (tmp_path / "new" / "directory").iterdir()] == ["best.safetensors"]


def test_equal_runs_are_equal_to_the_last_digit(tmp_path, seed):
    runs = []
    for name in ("one", "two"):
        trained = model(seed)
        result = fit(trained, Halves(), settings(), directory=tmp_path / name, seed=seed)
        runs.append((scores(result.curve), result.best_step, weights(trained)))
    assert runs[0][:2] == runs[1][:2]
    assert equal(runs[0][2], runs[1][2])


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"weight_decay": 0.5}, {"taps_rate_factor": 2.0}, {"warmup": 0.5}]
)
def test_no_option_is_ignored(change, tmp_path):
    plain, changed = model(), model()
    fit(plain, Halves(), settings(), directory=tmp_path / "plain", seed=0)
    options = {name: value for name, value in change.items() if name != "seed"}
    fit(changed, Halves(), settings(**options), directory=tmp_path / "changed", seed=change.get("seed", 0))
    assert not equal(weights(plain), weights(changed))


def test_gradients_from_before_do_not_count(tmp_path):
    clean, used = model(), model()
    used(torch.randn(3, 6, 2)).sum().backward()
    for each, name in ((clean, "clean"), (used, "used")):
        fit(each, Halves(), settings(steps=5), directory=tmp_path / name, seed=0)
    assert equal(weights(clean), weights(used))


def test_gradients_are_clipped(tmp_path, monkeypatch):
    norms: list[float] = []
    accelerator = Accelerator(cpu=True)
    clip = accelerator.clip_grad_norm_

    def clip_and_measure(parameters, max_norm):
        parameters = list(parameters)
        clip(parameters, max_norm)
        norms.append(float(torch.cat([p.grad.flatten() for p in parameters]).norm()))

    monkeypatch.setattr(accelerator, "clip_grad_norm_", clip_and_measure)
    fit(model(), Halves(), settings(clip_norm=0.01), directory=tmp_path, seed=0, accelerator=accelerator)
    assert len(norms) == 40
    assert max(norms) <= 0.01 * (1 + 1e-4)


@pytest.mark.parametrize("spoiled_from", [1, 17, 20, 40])
def test_a_loss_that_is_not_finite_ends_the_run(spoiled_from, tmp_path):
    result = fit(model(), Halves(spoiled_from=spoiled_from), settings(), directory=tmp_path, seed=0)
    assert result.status == "diverged"
    assert "not finite" in result.notices[0]
    assert [e.step for e in result.curve] == [s for s in settings().evaluation_steps() if s < spoiled_from]
    assert (result.best_step is None) == (spoiled_from == 1)
    assert (tmp_path / "best.safetensors").exists() == (spoiled_from > 1)
    assert not (tmp_path / "last.safetensors").exists()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_ends_the_run(bad, tmp_path):
    task = Halves(scores=[0.5, bad, 0.7, 0.8])
    result = fit(model(), task, settings(steps=20, evaluations=4), directory=tmp_path, seed=0)
    assert result.status == "diverged"
    assert result.best_step == 5
    assert [e.step for e in result.curve] == [5]


def test_an_absurd_learning_rate_is_no_exception(tmp_path):
    result = fit(model(), Halves(), settings(learning_rate=1e30), directory=tmp_path, seed=0)
    assert result.status == "diverged"
    assert all(math.isfinite(value) for e in result.curve for value in e.validation.values())


def test_brain_floats(tmp_path, seed):
    chosen = settings(steps=150, learning_rate=1e-2, precision="bf16")
    trained = model()
    seen = set()
    for module in trained.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, output: seen.add(output.dtype))
    result = fit(trained, Halves(), chosen, directory=tmp_path, seed=seed)
    assert result.status == "finished"
    assert result.curve[-1].train_loss < 0.9 * result.curve[0].train_loss
    assert {p.dtype for p in trained.parameters()} == {torch.float32}
    assert seen == {torch.bfloat16}


def test_the_accelerator_that_is_passed_is_used(tmp_path, monkeypatch):
    accelerator, task = Accelerator(cpu=True), Halves()
    logged: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(accelerator, "log", lambda values, step: logged.append((step, values)))
    result = fit(
        model(), task, settings(precision="bf16"), directory=tmp_path, seed=0, accelerator=accelerator
    )
    assert logged == [(e.step, {"train_loss": e.train_loss, **e.validation}) for e in result.curve]
    assert set(task.devices) == {accelerator.device}
    assert len(task.devices) == 40 + 8 * math.ceil(HELD_OUT / 128)


def test_processes_share_every_batch():
    inputs, targets, mask = torch.arange(7), torch.arange(7) + 10, torch.arange(7) % 2 == 0
    parts = [
        _share(Batch(inputs, targets, mask), SimpleNamespace(process_index=i, num_processes=3, device=CPU))
        for i in range(3)
    ]
    for whole, name in ((inputs, "inputs"), (targets, "targets"), (mask, "mask")):
        together = torch.stack([torch.cat([getattr(p, name) for p in parts])])
        order = torch.cat([p.inputs for p in parts]).argsort()
        assert torch.equal(together[0][order], whole)
    alone = _share(Batch(inputs, targets), SimpleNamespace(process_index=0, num_processes=1, device=CPU))
    assert torch.equal(alone.inputs, inputs)


def _train_in_a_process(directory: str) -> None:
    fit_function(
        model(), Halves(), settings(), directory=Path(directory), seed=0, accelerator=Accelerator(cpu=True)
    )


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    """The mean of the two halves' gradients is the whole batch's: only rounding differs."""
    fit(model(), Halves(), settings(), directory=tmp_path / "one", seed=0, accelerator=Accelerator(cpu=True))
    debug_launcher(_train_in_a_process, (str(tmp_path / "two"),), num_processes=2)
    one, two = model(), model()
    load_best(tmp_path / "one", one)
    load_best(tmp_path / "two", two)
    torch.testing.assert_close(weights(one), weights(two), rtol=1e-3, atol=1e-4)
