"""A study from the command to the report, on every kind of data; its numbers, computed again."""

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy import stats

from globalconv.measure.curves import measure_cost
from globalconv.study.design.build import build_model
from globalconv.study.runs.execute import rebuild_task
from globalconv.study.schema import SCHEMA_VERSION, StudyAnswer, TaskVerdict
from globalconv.study.spec import RunSpec
from globalconv.tasks import Fashion
from globalconv.training import load_best
from globalconv.training.evaluate import evaluate
from tests.study.small_studies import TINY, Ended, Run, globalconv, prose, report_of, runs_of, scores
from tests.tasks.examples import write_csv, write_fashion, write_npz, write_parallel_text

pytestmark = pytest.mark.timeout(900)

STUDIES = {
    "recall and a text file; equal flops": "recall prose.txt --length 16 --match flops",
    "digits and .npz; another rival, a pattern, a margin": (
        "digits waves.npz --rival global_conv --arms attention,global_conv+gated_conv --margin 0.5"
    ),
    ".csv; all arms": "waves.csv --label kind --device cpu",
    "fashion": "fashion --data fashion --arms gated_conv,hybrid --batch-size 2",
    "a folder; equal seconds": "notes --arms global_conv --length 16 --match seconds --steps 80",
    "sequence to sequence": "copy --length 4 --arms conv_both,conv_cross",
    "translation": "translation --data pairs.tsv --length 16 --arms conv_encoder,conv_cross",
    "text; a sweep": "prose.txt --arms global_conv --length 16 --sweep",
}


@dataclass(frozen=True)
class Study:
    """A study that was run by the command."""

    ended: Ended
    out: Path

    @property
    def report(self) -> Any:
        return report_of(self.out)

    def finals(self, task: Any, arm: Any) -> dict[int, Run]:
        """The finished final runs of an arm, by seed."""
        runs = runs_of(self.out, purpose="final", arm=arm["arm"])
        return {run.spec["seed"]: run for run in runs if run.spec["task"]["name"] == task["task"]}

    def arms(self) -> Iterator[tuple[Any, Any]]:
        """Every task with each of its arms."""
        for task in self.report["tasks"]:
            for arm in task["arms"]:
                yield task, arm


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of everything that a user may bring."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(7)
    prose(folder)
    (folder / "notes").mkdir()
    for number in range(3):
        prose(folder / "notes", seed=number, size=3_000, name=f"{number}.txt")
    write_npz(folder / "waves.npz", rng)
    write_csv(folder / "waves.csv", rng)
    write_fashion(folder / "fashion", rng)
    write_parallel_text(folder / "pairs.tsv", rng)
    return folder


@pytest.fixture(scope="module", params=STUDIES)
def study(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Each of STUDIES, run once."""
    return run_study(STUDIES[request.param], data, tmp_path_factory.mktemp("study") / "out")


def run_study(command: str, data: Path, out: Path, *, pictures: bool = False) -> Study:
    few = [*TINY, "--steps", "4", "--seeds", "2", "--workers", "1"]
    if "--sweep" not in command:
        few.append("--no-sweep")
    for option in ("--steps", "--batch-size", "--width", "--heads"):
        if option in command:
            where = few.index(option)
            del few[where : where + 2]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        patch.setitem(Fashion.__init__.__kwdefaults__, "num_validation", 30)
        return Study(globalconv("compare", *command.split(), *few, "--out", out, pictures=pictures), out)


def test_it_ends_well_and_answers(study: Study) -> None:
    assert study.ended.code == 0, study.ended.err
    assert study.ended.err == ""
    assert f"Report: {study.out / 'report.html'}" in study.ended.out
    assert study.report["schema_version"] == SCHEMA_VERSION
    StudyAnswer.model_validate_json((study.out / "report.json").read_text())
    for task in study.report["tasks"]:
        assert task["verdict"] in get_args(TaskVerdict)
        assert task["sentence"]
        assert task["verdict"] in study.ended.out


def test_the_report_is_drawn(data: Path, tmp_path: Path) -> None:
    study = run_study("waves.npz --arms global_conv", data, tmp_path / "out", pictures=True)
    assert study.ended.code == 0, study.ended.err
    (task,) = study.report["tasks"]
    assert task["sentence"].split(" (")[0] in (study.out / "report.html").read_text()
    with (study.out / "arms.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [(row["task"], row["arm"]) for row in rows] == [(t["task"], a["arm"]) for t, a in study.arms()]


def test_arms_have_equally_much_and_every_budget_is_told(study: Study) -> None:
    for task in study.report["tasks"]:
        arms = {arm["arm"]: arm for arm in task["arms"]}
        spent = {
            "parameters": lambda arm: arm["parameters"],
            "flops": lambda arm: arm["flops_per_token"],
            "seconds": lambda arm, task=task: planned_seconds(study, task, arm),
        }[task["matched_on"]]
        rival = spent(arms[task["rival"]])
        distances = [abs(spent(arm) / rival - 1) for arm in arms.values()]
        assert max(distances) <= 0.02
        assert task["matched_spread"] == pytest.approx(max(distances), abs=1e-12)
        for arm in arms.values():
            for budget in ("parameters", "flops_per_token", "steps", "seconds_per_step", "train_seconds"):
                assert arm[budget] > 0, budget
            assert arm["peak_memory_bytes"] > 4 * arm["parameters"]


def planned_seconds(study: Study, task: Any, arm: Any) -> float:
    plan = json.loads((study.out / "plan.json").read_text())
    (planned_task,) = (t for t in plan["tasks"] if t["task"]["name"] == task["task"])
    (planned,) = (a for a in planned_task["arms"] if a["arm"] == arm["arm"])
    return float(arm["steps"] * planned["warm_up"]["seconds_per_step"])


def test_an_arms_numbers_are_those_of_its_runs(study: Study) -> None:
    for task, arm in study.arms():
        runs = study.finals(task, arm)
        rivals = study.finals(task, {"arm": task["rival"]})
        tests = {seed: run.result["test"] for seed, run in runs.items()}
        assert_estimates(arm["metric"], [test[task["metric"]] for test in tests.values()], possible(task))
        extra = set.union(*(set(test) for test in tests.values())) - {task["metric"]}
        assert set(arm["extra_metrics"]) == extra
        for name in extra:
            most = 1.0 if name.endswith(("accuracy", "exact_match", "f1")) else math.inf
            found = [test[name] for test in tests.values() if name in test]
            assert_estimates(arm["extra_metrics"][name], found, (0.0, most))
        if arm["arm"] == task["rival"]:
            assert arm["difference"] is None
        else:
            sign = 1 if task["higher_is_better"] else -1
            gains = [
                sign * (tests[seed][task["metric"]] - rivals[seed].result["test"][task["metric"]])
                for seed in sorted(tests)
            ]
            assert_estimates(arm["over_seeds"], gains)
            again = [
                sign * np.subtract(runs[seed].result["test_resampled"], rivals[seed].result["test_resampled"])
                for seed in sorted(tests)
            ]
            low, high = np.percentile(np.mean(again, axis=0), [2.5, 97.5])
            assert (arm["over_examples"]["low"], arm["over_examples"]["high"]) == pytest.approx((low, high))
            assert_joined(arm["difference"], arm["over_seeds"], arm["over_examples"])
        assert arm["seconds_per_step"] == median(run.result["seconds_per_step"] for run in runs.values())
        assert arm["train_seconds"] == pytest.approx(fmean(run.result["seconds"] for run in runs.values()))
        for run in runs.values():
            assert run.result["parameters"] == arm["parameters"] == numbers_in(run.path / "best.safetensors")
            assert run.result["flops_per_token"] == arm["flops_per_token"]
            assert run.spec["training"]["steps"] == arm["steps"]
            assert run.spec["training"]["learning_rate"] == arm["learning_rate"]
            model = run.spec["model"]
            assert model["mixers"] + (model["decoder"] or {"mixers": []})["mixers"] == arm["mixers"]


def assert_joined(whole: Any, *parts: Any) -> None:
    """Squares of half widths add up, on each side of the mean."""
    for end, sign in (("low", -1), ("high", 1)):
        widths = [max(sign * (part[end] - part["mean"]), 0.0) for part in parts]
        assert sign * (whole[end] - whole["mean"]) == pytest.approx(math.hypot(*widths), rel=1e-6, abs=1e-9)


def test_a_curve_is_the_mean_of_the_runs_curves(study: Study) -> None:
    for task, arm in study.arms():
        runs = list(study.finals(task, arm).values())
        tokens = runs[0].spec["training"]["batch_size"] * task["length"]
        assert len(arm["curve"]) == len(runs[0].curve)
        for point, *lines in zip(arm["curve"], *(run.curve for run in runs), strict=True):
            assert {line["step"] for line in lines} == {point["step"]}
            assert_estimates(
                point["value"], [line["validation"][task["metric"]] for line in lines], possible(task)
            )
            assert point["seconds"] == pytest.approx(fmean(line["seconds"] for line in lines))
            assert point["flops"] == pytest.approx(3 * arm["flops_per_token"] * tokens * point["step"])


def test_rankings_read_the_curves_where_all_arms_have_been(study: Study) -> None:
    for task in study.report["tasks"]:
        for ranking in task["rankings"]:
            along = {"steps": "step", "seconds": "seconds", "flops": "flops"}[ranking["axis"]]
            curves = {arm["arm"]: arm["curve"] for arm in task["arms"]}
            assert ranking["at"] == min(curve[-1][along] for curve in curves.values())
            for name, curve in curves.items():
                expected = np.interp(
                    ranking["at"], [p[along] for p in curve], [p["value"]["mean"] for p in curve]
                )
                assert ranking["values"][name] == pytest.approx(expected)
            values = list(ranking["values"].values())
            assert values == sorted(values, reverse=task["higher_is_better"])


def test_validation_chooses_and_the_test_split_is_kept_for_final_runs(study: Study) -> None:
    metrics = {task["task"]: (task["metric"], task["higher_is_better"]) for task in study.report["tasks"]}
    seeds: dict[str, set[int]] = {"sweep": set(), "final": set()}
    for run in runs_of(study.out):
        metric, higher = metrics[run.spec["task"]["name"]]
        seeds[run.spec["purpose"]].add(run.spec["seed"])
        assert bool(run.result["test"]) == (run.spec["purpose"] == "final")
        assert bool(run.result["test_resampled"]) == (run.spec["purpose"] == "final")
        reached = [line["validation"][metric] for line in run.curve]
        assert run.result["validation"][metric] == (max(reached) if higher else min(reached))
        at_best = next(line for line in run.curve if line["step"] == run.result["best_step"])
        assert at_best["validation"] == run.result["validation"]
    assert not seeds["sweep"] & seeds["final"]
    assert study.report["seeds"] == sorted(seeds["final"])


def test_the_study_counts_all_its_runs(study: Study) -> None:
    runs = runs_of(study.out)
    assert study.report["num_runs"] == len(runs)
    assert study.report["training_seconds"] == pytest.approx(sum(run.result["seconds"] for run in runs))


def test_the_learning_rate_is_the_best_on_validation(study: Study) -> None:
    swept = False
    for task, arm in study.arms():
        runs = [
            run
            for run in runs_of(study.out, purpose="sweep", arm=arm["arm"])
            if run.spec["task"]["name"] == task["task"]
        ]
        found: dict[float, list[float]] = {}
        for run in sorted(runs, key=lambda run: run.spec["seed"]):
            found.setdefault(run.spec["training"]["learning_rate"], []).append(
                run.result["validation"][task["metric"]]
            )
        means = {rate: pytest.approx(fmean(scores)) for rate, scores in found.items()}
        assert {point["learning_rate"]: point["value"] for point in arm["rates"]} == means
        assert {p["learning_rate"]: p["num_seeds"] for p in arm["rates"]} == {
            r: len(s) for r, s in found.items()
        }
        if found:
            swept = True
            sign = 1 if task["higher_is_better"] else -1
            reached = {rate: sign * fmean(scores) for rate, scores in found.items()}
            alike = sorted(r for r in reached if reached[r] >= max(reached.values()) - task["margin"] / 2)
            middles = alike[(len(alike) - 1) // 2 : len(alike) // 2 + 1]
            assert arm["learning_rate"] in middles
            assert reached[arm["learning_rate"]] == max(reached[rate] for rate in middles)
            assert len(found[arm["learning_rate"]]) == 2, "the best is confirmed on a second seed"
            on_edge = arm["learning_rate"] in (min(found), max(found))
            assert on_edge == any("edge of the sweep" in flag for flag in arm["flags"])
            assert len(found) == 7 or not on_edge, "while the best is on the edge, the grid widens"
    assert swept == ("--sweep" in study.report["command"])


def test_a_test_score_is_that_of_the_weights_on_disk(study: Study) -> None:
    run = runs_of(study.out, purpose="final")[0]
    spec = RunSpec.model_validate(run.spec)
    task = rebuild_task(spec.task)
    model = build_model(spec.model, task.signature)
    load_best(run.path, model)
    score = evaluate(model, task, "test", batch_size=128, device=next(model.parameters()).device)
    assert score == pytest.approx(run.result["test"], rel=1e-6)


def possible(task: Any) -> tuple[float, float]:
    """The least and the most that a score of the task's metric can be."""
    return 0.0, {"accuracy": 1.0, "exact_match": 1.0, "bleu": 100.0}.get(task["metric"], math.inf)


def assert_estimates(
    estimate: Any, values: list[float], ends: tuple[float, float] = (-math.inf, math.inf)
) -> None:
    """A mean with Student's t interval at 95 %, written out, as far as it lies within the ``ends``."""
    least, most = ends
    mean, half = fmean(values), 0.0
    if len(values) > 1:
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation / math.sqrt(len(values))
        assert estimate["low"] == pytest.approx(max(mean - half, least))
        assert estimate["high"] == pytest.approx(min(mean + half, most))
    assert estimate["mean"] == pytest.approx(mean)
    assert estimate["num_seeds"] == len(values)


def numbers_in(weights: Path) -> int:
    with safe_open(weights, framework="np") as file:
        return sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118


def test_the_same_spec_gives_the_same_numbers(data: Path, tmp_path: Path) -> None:
    """In other processes too: see test_resume, which compares what two workers did with what one did."""
    for out in (tmp_path / "here", tmp_path / "there"):
        run_study("prose.txt --length 16 --arms global_conv,gated_conv", data, out)
    found = [scores(runs_of(tmp_path / name)) for name in ("here", "there")]
    assert len(found[0]) == 6
    assert found[0] == found[1]


def test_costs_are_measured_as_told_one_thread_and_the_arms_own_heads(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def measure(*arguments: Any, **options: Any) -> Any:
        threads.append(torch.get_num_threads())
        return measure_cost(*arguments, **options)

    monkeypatch.setattr("globalconv.study.compare.measure_cost", measure)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        # Ten channels: more heads than one, the default of an attention among them, would not divide them.
        study = run_study("waves.npz --arms global_conv --width 10 --heads 1", data, tmp_path / "out")
    finally:
        torch.set_num_threads(before)
    assert study.ended.code == 0, study.ended.err
    assert threads == [study.report["cost"]["num_threads"]] == [1]
    assert {curve["mixer"] for curve in study.report["cost"]["curves"]} == {"attention", "global_conv"}
    assert study.report["cost"]["width"] == 10


@pytest.mark.parametrize("mixer", ["DivergesWithSeedOne", "DivergesWhenScored"])
def test_a_diverged_run_is_told_and_the_study_goes_on(mixer: str, data: Path, tmp_path: Path) -> None:
    arm = f"tests.study.unsound_mixers:{mixer}"
    study = run_study(f"waves.npz --arms global_conv,{arm}", data, tmp_path / "out")
    assert study.ended.code == 0, study.ended.err
    (task,) = study.report["tasks"]
    sound, unsound = (next(a for a in task["arms"] if a["arm"] == name) for name in ("global_conv", arm))
    assert sound["metric"]["num_seeds"] == 2
    diverged = [1] if mixer == "DivergesWithSeedOne" else [0, 1]
    assert unsound["diverged_seeds"] == diverged
    assert unsound["verdict"] == "undecided"
    assert any("diverged" in flag for flag in unsound["flags"])
    for seed in diverged:
        assert any(
            arm in told and "diverged" in told and f"seed {seed}" in told for told in study.report["failures"]
        )


def test_an_arm_that_diverges_at_every_rate_leaves_the_others_their_answer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("globalconv.study.design.draft.ANY_ARM_RATE", 1e30)
    study = run_study("waves.npz --arms global_conv,gated_conv+global_conv --sweep", data, tmp_path / "out")
    assert study.ended.code == 0, study.ended.err
    (task,) = study.report["tasks"]
    absurd = next(arm for arm in task["arms"] if arm["arm"] == "gated_conv+global_conv")
    assert [point["value"] for point in absurd["rates"]] == [None] * 7
    assert absurd["metric"] is None
    assert "diverged at every learning rate" in absurd["flags"]
    assert all(arm["metric"] for arm in task["arms"] if arm is not absurd)


@pytest.mark.slow
def test_the_command_without_arguments_answers_within_its_budget(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        ended = globalconv("compare")
    assert ended.code == 0, ended.err
    (out,) = (tmp_path / "globalconv-studies").iterdir()
    report = report_of(out)
    assert [task["task"] for task in report["tasks"]] == ["recall", "digits", "text"]
    assert report["wall_seconds"] < report["budget_seconds"]
