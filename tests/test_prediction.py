"""`globalconv predict` and `globalconv.predict` as a user meets them: the numbers, the file, and mistakes."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import globalconv as package
from globalconv.errors import InputError
from globalconv.prediction import run_predict
from globalconv.study.trained import read_spec
from globalconv.tasks import Classification, build_task
from globalconv.tasks.find import _build as cached_task
from tests.study.small_studies import globalconv
from tests.tasks.examples import write_csv, write_ragged_npz
from tests.test_generate import trained

LENGTH = 10


def wave_classes(rng: np.random.Generator, num: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (num, LENGTH, 2) far from standardised, whose class is in their frequency; and the classes' names."""
    numbers = np.arange(num) % 3
    times = np.arange(LENGTH)[:, None] * [1.0, 0.5]
    waves = np.sin(times * (1 + numbers[:, None, None])) + 0.3 * rng.normal(size=(num, LENGTH, 2))
    return 40.0 + waves * [2.0, 0.01], np.array(["low", "middle", "high"])[numbers]


def classifier(folder: Path, kind: str) -> tuple[Path, Path]:
    """The directory of a finished final run, and its training file."""
    rng = np.random.default_rng(0)
    options: dict[str, object] = {}
    if kind == "csv":
        file = write_csv(folder / "waves.csv", rng)
        options = {"label": "kind"}
    elif kind == "ragged":
        file = write_ragged_npz(folder / "ragged.npz", rng)
        options = {"patch": 3}
    else:
        file = folder / f"{kind}.npz"
        values, labels = wave_classes(rng)
        first = kind == "channels_first"
        np.savez(file, X=values.swapaxes(1, 2) if first else values, y=labels)
        options = {"layout": kind, "patch": 4}
    return trained(folder, kind="table", options={"path": str(file), **options}, purpose="final"), file


KINDS = ("csv", "ragged", "channels_last", "channels_first")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    return {kind: classifier(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def task_of(run: Path) -> Classification:
    spec = read_spec(run)
    task = build_task(spec.task.kind, spec.task.options)
    assert isinstance(task, Classification)
    return task


def own_test_rows(run: Path) -> dict[str, np.ndarray]:
    """The study's test split as it came from the file: X, y and perhaps lengths."""
    task = task_of(run)
    rows = {"X": task._inputs["test"].numpy(), "y": np.array(task.classes)[task._classes["test"].numpy()]}
    if task.positions.ragged:
        rows["lengths"] = task._lengths["test"].numpy()
    return rows


def written(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_test_rows_score_what_the_run_recorded(runs, tmp_path):
    for kind, (run, _) in runs.items():
        rows = own_test_rows(run)
        if kind == "csv":
            file = tmp_path / "new.csv"
            lines = [
                ",".join([*map(repr, x[:, 0].tolist()), y]) for x, y in zip(rows["X"], rows["y"], strict=True)
            ]
            file.write_text("\n".join([",".join([*task_of(run).columns, "kind"]), *lines]) + "\n")
        else:
            file = tmp_path / "new.npz"
            if kind == "channels_first":
                rows["X"] = rows["X"].swapaxes(1, 2)
            np.savez(file, **rows)
        out = tmp_path / f"{kind}.csv"
        ended = globalconv("predict", run, file, "--out", out, "--batch-size", "7")
        assert ended.code == 0, ended
        recorded = json.loads((run / "result.json").read_text())["test"]
        for name in ("accuracy", "balanced accuracy", "macro F1"):
            told = float(re.search(rf"\b{name} ([\d.]+\d)", ended.out)[1])
            assert told == pytest.approx(recorded[name.lower().replace(" ", "_")], abs=5.1e-5), (kind, name)
        table = written(out)
        assert [int(row["row"]) for row in table] == list(range(len(rows["y"])))
        assert np.mean([row["predicted"] for row in table] == rows["y"]) == pytest.approx(
            recorded["accuracy"]
        )
        classes = task_of(run).classes
        shares = np.array([[float(row[f"probability of {name}"]) for name in classes] for row in table])
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert [classes[n] for n in shares.argmax(axis=1)] == [row["predicted"] for row in table]
        # From Python, of the same arrays: the same numbers, and one batch or many.
        found = package.predict(run, rows["X"], rows.get("lengths"))
        assert found.classes == classes
        assert found.predicted == [row["predicted"] for row in table]
        np.testing.assert_allclose(found.probabilities, shares, atol=1e-5)
        for name in classes:
            assert f"'{name}' {found.predicted.count(name)}" in ended.out
