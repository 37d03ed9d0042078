"""The shipped starting values hold together, and the shipped rates are the recorded best."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from globalconv.study.design.arms import DEFAULT_ARMS, DEFAULT_TWINS, mixers_of, twin_of
from globalconv.study.design.presets import ANY_ARM_RATE, QUICK, SERIOUS, SERIOUS_BUDGET_SECONDS, preset_for
from globalconv.study.design.sweep import Sweep
from globalconv.tasks import TASKS, SequenceToSequence
from globalconv.tasks.base import Metric
from globalconv.tasks.classification import METRICS, Classification

RECORDED = Path(__file__).parents[2] / "studies" / "rates" / "rates.json"
MEASURED = sorted(kind for kind, preset in QUICK.items() if preset.source is not None)
CAUSAL = ("recall", "text")


def recorded(kind: str) -> dict:
    if not RECORDED.exists():
        pytest.skip("studies/rates/rates.json is not here: an installed package, or a source distribution")
    tasks = json.loads(RECORDED.read_text())
    if kind not in tasks:
        pytest.skip(f"studies/rates/recipe.py has not recorded {kind} yet")
    return tasks[kind]


def metric_of(kind: str) -> Metric:
    """Of a classification it is the user's choice, and by default accuracy."""
    return METRICS["accuracy"] if issubclass(TASKS[kind], Classification) else TASKS[kind].metric


def sweep(kind: str, arm: str) -> Sweep:
    metric = metric_of(kind)
    scores = {float(rate): (score,) for rate, score in recorded(kind)["arms"][arm].items()}
    return Sweep(scores, metric.higher_is_better, metric.margin / 2)


@pytest.mark.parametrize(("kind", "arm"), [(kind, arm) for kind in MEASURED for arm in QUICK[kind].rates])
def test_a_shipped_rate_is_as_good_as_the_recorded_best_and_not_larger_than_all_of_these(kind, arm):
    found = sweep(kind, arm)
    sign = 1 if found.higher_is_better else -1
    top = max(sign * mean for mean in found.means.values() if mean is not None)
    alike = [
        r for r, mean in found.means.items() if mean is not None and sign * mean >= top - found.tolerance
    ]
    assert QUICK[kind].rates[arm] in alike
    assert QUICK[kind].rates[arm] <= found.best


@pytest.mark.parametrize(("kind", "arm"), [(kind, arm) for kind in MEASURED for arm in QUICK[kind].rates])
def test_a_shipped_rate_is_tuned_as_a_verdict_asks(kind, arm):
    found = sweep(kind, arm)
    assert min(found.scores) < QUICK[kind].rates[arm] < max(found.scores)
    assert not found.on_edge


@pytest.mark.parametrize("kind", MEASURED)
def test_the_record_is_of_what_ships(kind):
    record, preset = recorded(kind), QUICK[kind]
    assert record["batch size"] == preset.batch_size
    assert record["steps"] <= preset.steps <= 2 * record["steps"], (
        "sweep it again: the best rate moves with the steps"
    )
    assert record["metric"] == metric_of(kind).name
    assert set(record["arms"]) == set(preset.rates)


@pytest.mark.parametrize("presets", [QUICK, SERIOUS])
def test_every_kind_of_task_has_a_preset(presets):
    assert set(presets) == set(TASKS)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("presets", [QUICK, SERIOUS])
def test_a_preset_holds_together(presets, kind):
    preset = presets[kind]
    pairs = issubclass(TASKS[kind], SequenceToSequence)
    arms = DEFAULT_TWINS if pairs else DEFAULT_ARMS
    fits = [arm for arm in arms if not (kind in CAUSAL and arm == "token_mlp")]
    assert set(preset.rates) == set(fits), "every default arm that can run has a rate"
    assert all(1e-5 < rate < 1 for rate in (*preset.rates.values(), ANY_ARM_RATE))
    assert all((twin_of if pairs else mixers_of)(arm, preset.depth) for arm in fits)
    assert (preset.design is not None) == pairs
    assert preset.width % (2 * preset.heads) == 0, "rotary positions turn pairs of channels"
    assert preset.steps >= 10 * preset.evaluations
    assert preset.batch_size >= 1
    assert preset.mlp_ratio >= 1


def test_recall_can_be_drawn_at_both_sizes():
    for presets in (QUICK, SERIOUS):
        task = TASKS["recall"](**presets["recall"].options)
        assert task.signature.length == presets["recall"].options["length"]


@pytest.mark.parametrize("kind", TASKS)
def test_only_sizes_that_were_measured_count_as_tuned(kind):
    """A preset that names a source is the one that was swept, for longer at most."""
    larger, swept = SERIOUS[kind], QUICK[kind]
    if larger.source is not None:
        assert larger.steps >= swept.steps
        assert replace(larger, steps=swept.steps, evaluations=swept.evaluations) == swept


@pytest.mark.parametrize("kind", TASKS)
def test_the_budget_chooses_the_scale(kind):
    assert preset_for(kind, SERIOUS_BUDGET_SECONDS - 1) is QUICK[kind]
    assert preset_for(kind, SERIOUS_BUDGET_SECONDS) is SERIOUS[kind]
