"""Studies of the user's own tables: few rows, rows that end early, rows in groups; from the command to the report."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.study.small_studies import FEW, globalconv, report_of, runs_of

pytestmark = pytest.mark.timeout(600)
NUM, LONGEST = 48, 12


def write_rows(path: Path, num: int, *, ragged: bool = False) -> Path:
    """``num`` rows of LONGEST columns, two classes in turns in ``kind`` and three rows for each ``who``."""
    rng = np.random.default_rng(num)
    lines = [",".join([*(f"t{i}" for i in range(LONGEST)), "kind", "who"])]
    for number in range(num):
        length = rng.integers(4, LONGEST) if ragged and number % 5 else LONGEST
        cells = [*(f"{value:.3f}" for value in rng.normal(size=length)), *[""] * (LONGEST - length)]
        lines.append(",".join([*cells, "ab"[number % 2], f"p{number // 3}"]))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the fewest rows that are accepted, and a ragged one, both in groups."""
    folder = tmp_path_factory.mktemp("tables")
    tables = (write_rows(folder / "few.csv", 9), write_rows(folder / "ragged.csv", NUM, ragged=True))
    options = ("--label", "kind", "--groups", "who", "--arms", "attention,gated_conv")
    ended = globalconv(
        "compare", *tables, *options, *FEW, "--workers", "1", "--out", folder / "out", pictures=True
    )
    assert ended.code == 0, ended.err
    assert "Note on ragged.csv: Split by groups" in ended.out
    return folder / "out"


def tasks_of(study: Path) -> dict[str, Any]:
    return {task["task"]: task for task in report_of(study)["tasks"]}


def test_three_groups_end_in_a_report(study: Path) -> None:
    """Two validation examples have no standard error, which is told as null."""
    few = tasks_of(study)["few.csv"]
    assert "3 train, 3 validation, 3 test" in few["description"]
    assert all(arm["inside"]["refused"] is None for arm in few["arms"])


def test_confusions_count_every_test_example_of_every_seed(study: Path) -> None:
    for name, task in tasks_of(study).items():
        num_test = int(task["description"].split(" test examples")[0].rsplit(" ", 1)[1])
        for arm in task["arms"]:
            counts = np.array(arm["confusion"]["counts"])
            assert arm["confusion"]["classes"] == ["a", "b"]
            assert counts.sum() == num_test * 2, name
            right = counts.trace() / counts.sum()
            assert arm["metric"]["mean"] == pytest.approx(right)
            recalls = counts.diagonal() / counts.sum(axis=1)
            assert arm["extra_metrics"]["balanced_accuracy"]["mean"] == pytest.approx(recalls.mean())
    for run in runs_of(study, purpose="final"):
        assert np.sum(run.result["confusion"]["counts"]) > 0


def test_intervals_of_shares_end_where_shares_do(study: Path) -> None:
    for task in tasks_of(study).values():
        for arm in task["arms"]:
            for name in ("balanced_accuracy", "macro_f1"):
                score = arm["extra_metrics"][name]
                assert 0 <= score["low"] <= score["mean"] <= score["high"] <= 1


def test_models_of_ragged_rows_are_looked_into_without_padding(study: Path) -> None:
    ragged = tasks_of(study)["ragged.csv"]
    assert ragged["length"] == LONGEST
    for arm in ragged["arms"]:
        assert arm["inside"]["refused"] is None
        assert LONGEST / 2 <= arm["inside"]["length"] <= LONGEST


def test_the_page_and_the_table_tell_scores_by_class(study: Path) -> None:
    page = (study / "report.html").read_text()
    assert page.count("<h3>Class by class</h3>") == 2
    rows = list(csv.DictReader((study / "arms.csv").read_text().splitlines()))
    assert all(0 <= float(row["extra_macro_f1_mean"]) <= 1 for row in rows)


def test_a_mixer_that_cannot_have_padding_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "ragged.csv", NUM, ragged=True)
    arms = "attention,tests.study.unsound_mixers:RandomWhenScored"
    ended = globalconv("compare", table, "--label", "kind", "--groups", "who", "--arms", arms, *FEW)
    assert ended.code == 2
    assert "RandomWhenScored cannot mix rows of different lengths" in ended.err
    assert "Measuring" not in ended.out


def test_the_metric_asked_for_judges(tmp_path: Path) -> None:
    table = write_rows(tmp_path / "t.csv", NUM)
    options = (
        "--label",
        "kind",
        "--groups",
        "who",
        "--metric",
        "balanced_accuracy",
        "--arms",
        "attention,gated_conv",
    )
    ended = globalconv("compare", table, *options, *FEW, "--workers", "1", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    (task,) = tasks_of(tmp_path / "out").values()
    assert task["metric"] == "balanced_accuracy"
    for arm in task["arms"]:
        counts = np.array(arm["confusion"]["counts"])
        recalls = counts.diagonal() / counts.sum(axis=1)
        assert arm["metric"]["mean"] == pytest.approx(recalls.mean())
        assert arm["extra_metrics"]["accuracy"]["mean"] == pytest.approx(counts.trace() / counts.sum())
    assert {baseline["name"]: baseline["value"] for baseline in task["baselines"]}["majority class"] == 0.5
    unknown = globalconv("compare", table, "--label", "kind", "--metric", "auc", *FEW)
    assert unknown.code == 2
    assert "Known: accuracy, balanced_accuracy, macro_f1" in unknown.err
