"""Scores over a whole split."""

import pytest
import torch

from globalconv.training.evaluate import evaluate
from tests.training.fake_task import HELD_OUT, Halves, model

CPU = torch.device("cpu")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_are_means_over_examples_whatever_the_batches(split):
    net, task = model(), Halves()
    whole = evaluate(net, task, split, batch_size=HELD_OUT, device=CPU)
    (batch,) = task.evaluation_batches(split, batch_size=HELD_OUT)
    right = net.eval()(batch.inputs).argmax(1) == batch.targets
    assert whole["accuracy"] == right.double().mean().item()
    for batch_size in (1, 7, 64, 1000):
        assert evaluate(net, task, split, batch_size=batch_size, device=CPU) == pytest.approx(whole, rel=1e-5)


def test_splits_differ():
    net = model()
    scores = [evaluate(net, Halves(), s, batch_size=64, device=CPU) for s in ("validation", "test")]
    assert scores[0] != scores[1]


def test_the_model_is_evaluated_in_eval_mode_and_left_in_training_mode():
    modes: list[bool] = []
    net = model()
    net.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    evaluate(net, Halves(), "validation", batch_size=100, device=CPU)
    assert modes == [False, False]
    assert net.training
    assert all(p.grad is None for p in net.parameters())
