"""`globalconv predict` and `globalconv.predict` as a user meets them: the numbers, the file, and mistakes."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import globalconv as package
from globalconv.errors import InputError
from globalconv.study.runs.trained import load_model, read_spec
from globalconv.tasks import Classification, build_task
from tests.inference.test_generation import trained
from tests.study.small_studies import globalconv
from tests.tasks.examples import write_csv, write_ragged_npz

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


@torch.no_grad()
def evaluated(run: Path) -> np.ndarray:
    """The probabilities in the batches that the study itself evaluates."""
    task = task_of(run)
    model = load_model(run, read_spec(run).model, task.signature)
    batches = task.evaluation_batches("test", batch_size=64)
    return torch.cat([model(*batch.arguments).softmax(-1) for batch in batches]).numpy()


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
            printed = float(re.search(rf"\b{name} ([\d.]+\d)", ended.out)[1])
            assert printed == pytest.approx(recorded[name.lower().replace(" ", "_")], abs=5.1e-5), (
                kind,
                name,
            )
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
        found = package.predict(run, rows["X"], rows.get("lengths"), device="cpu")
        assert found.classes == classes
        np.testing.assert_allclose(found.probabilities, evaluated(run), atol=1e-6)
        assert found.predicted == [row["predicted"] for row in table]
        np.testing.assert_allclose(found.probabilities, shares, atol=1e-5)
        for name in classes:
            assert f"'{name}' {found.predicted.count(name)}" in ended.out


def refused(*arguments: str | Path) -> str:
    """What the command says, on one line, where it refuses."""
    ended = globalconv("predict", *arguments)
    assert ended.code == 2, ended
    assert "Traceback" not in ended.err
    return " ".join(ended.err.split())


def test_columns_are_found_by_their_names(runs, tmp_path):
    run, file = runs["csv"]
    lines = [line.split(",") for line in file.read_text().splitlines()]
    order = [5, 0, 6, 2, 1, 4]  # all but the label
    shuffled = tmp_path / "shuffled.tsv"
    shuffled.write_text("\n".join("\t".join(line[n] for n in order) for line in lines) + "\n")
    outs = [tmp_path / "own.csv", tmp_path / "other.csv"]
    labelled = globalconv("predict", run, file, "--out", outs[0])
    plain = globalconv("predict", run, shuffled, "--out", outs[1])
    assert (labelled.code, plain.code) == (0, 0), plain
    assert outs[0].read_text() == outs[1].read_text()
    assert len(written(outs[0])) == len(lines) - 1
    assert "accuracy" in labelled.out
    assert "accuracy" not in plain.out
    few = package.predict(run, [[float(line[n]) for n in (0, 1, 2, 4, 5, 6)] for line in lines[1:4]])
    assert few.predicted == [row["predicted"] for row in written(outs[0])[:3]]


def test_new_sequences_may_be_shorter_or_padded_longer_where_the_training_ones_differ(runs, tmp_path):
    run, _ = runs["ragged"]
    values = np.random.default_rng(1).normal(3.0, 5.0, size=(4, 5, 2))
    padded = np.pad(values, ((0, 0), (0, 20), (0, 0)), constant_values=np.nan)
    expected = package.predict(run, values).probabilities
    for found in (package.predict(run, padded), package.predict(run, np.nan_to_num(padded), [5] * 4)):
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    # At the end of a CSV's rows, columns that no sequence reaches may be missing.
    rows = [[1, 2, 3, 4, ""], [1, 2, "", "", ""], [4, 3, 2, 1, ""], [3, 4, 5, "", ""]] * 20
    table = tmp_path / "ragged.csv"
    lines = [",".join(map(str, [*row, "ab"[n % 2]])) for n, row in enumerate(rows)]
    table.write_text("\n".join(["a,b,c,d,e,kind", *lines]) + "\n")
    short = trained(tmp_path, kind="table", options={"path": str(table), "label": "kind"})
    (tmp_path / "short.csv").write_text("b,a\n2,1\n2,1\n")
    assert globalconv("predict", short, table, "--out", tmp_path / "all.csv").code == 0
    assert globalconv("predict", short, tmp_path / "short.csv", "--out", tmp_path / "two.csv").code == 0
    assert written(tmp_path / "two.csv")[0] == written(tmp_path / "all.csv")[1] | {"row": "0"}


def test_rows_that_do_not_fit_are_refused_with_what_would(runs, tmp_path):
    (run, _), (ragged, _), (table, file) = runs["channels_first"], runs["ragged"], runs["csv"]
    good = np.random.default_rng(0).normal(size=(4, 2, LENGTH))
    for X, lengths, message in (
        (
            good[:, :1],
            None,
            "have 1 channel(s), but the training sequences 2. Give the same channels in the same order, as X of ",
        ),
        (
            good[:, :, :7],
            None,
            "sequences of 10 positions, but in 'the arrays given' 4 have other lengths (7, 7, 7, 7)",
        ),
        (good.swapaxes(1, 2), None, "X of shape (n, 2, 10)"),
        (good, [10, 10, 3, 10], "1 have other lengths (3): rows 2"),
        (good, [10, 10], "one length for each example"),
        ([[1.0], [1.0, 2.0]], None, "pad the sequences to one length"),
        (good[:0], None, "without an empty axis"),
        (np.full_like(good, np.inf), None, "missing or infinite"),
        (np.full_like(good, 1e300), None, "output for rows 0, 1, 2, 3 (counted from 0) is not finite"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            package.predict(run, X, lengths)
    with pytest.raises(InputError, match="up to 11 positions"):
        package.predict(ragged, np.zeros((2, 12, 2)))
    with pytest.raises(InputError, match="--batch-size 0"):
        package.predict(run, good, batch_size=0)

    def text(*lines: str) -> Path:
        (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
        return tmp_path / "new.csv"

    first, second = file.read_text().splitlines()[:2]
    assert "lacks columns of the training file: t3" in refused(table, text(first.replace("t3", "u3"), second))
    assert "the training file does not have: id. Remove them" in refused(
        table, text(f"id,{first}", f"1,{second}")
    )
    assert "not trained on: 'z'. Known classes: 'a', 'b', 'c'" in refused(
        table, text(first, second.replace("a", "z"))
    )
    assert "no rows" in refused(table, text(first))
    assert "not trained on a .csv" in refused(run, text(first, second))
    assert "must end in one of" in refused(table, tmp_path / "new.xls")
    assert "there is no file" in refused(table, tmp_path / "none.csv")
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    assert "is not a NumPy archive" in refused(run, damaged)
    np.savez(tmp_path / "no_x.npz", Z=good)
    assert "has no array X; it holds Z" in refused(run, tmp_path / "no_x.npz")
    np.savez(tmp_path / "splits.npz", X_train=good, X_test=good)
    assert "holds splits (train, test). Give a file with X" in refused(run, tmp_path / "splits.npz")
    np.savez(tmp_path / "classes.npz", X=good, y=["low", "loud", "high", "low"])
    assert "not trained on: 'loud'" in refused(run, tmp_path / "classes.npz")
    before = file.read_bytes()
    assert "this is a data file" in refused(table, text(first, second), "--out", file)
    assert "this is a data file" in refused(table, text(first, second), "--out", tmp_path / "new.csv")
    assert file.read_bytes() == before


def test_runs_that_cannot_classify_are_refused_with_what_would(tmp_path):
    run, file = classifier(tmp_path, "csv")
    text = trained(tmp_path)
    assert "not a classification task" in refused(text, file)
    assert "globalconv generate" in refused(text, file)
    study = tmp_path
    (study / "plan.json").write_text("{}")
    message = refused(study, file)
    assert str(run) in message  # and not the text's
    assert str(text) not in message
    unfinished = shutil.copytree(run, tmp_path / "unfinished")
    (unfinished / "result.json").unlink()
    assert "is not finished. Repeat its study's command" in refused(unfinished, file)
    diverged = shutil.copytree(run, tmp_path / "diverged")
    result = json.loads((run / "result.json").read_text()) | {"status": "diverged"}
    (diverged / "result.json").write_text(json.dumps(result))
    assert "diverged. Name another run" in refused(diverged, file)
    (diverged / "result.json").write_text("{")
    assert "result.json cannot be read" in refused(diverged, file)
    new = shutil.copy(file, tmp_path / "new.csv")
    file.write_text(file.read_text() + file.read_text().splitlines()[-1] + "\n")
    assert "must still exist, unchanged: the data of 'waves.csv' changed" in refused(run, new)
    file.unlink()
    message = refused(run, new)
    assert f"must still exist, unchanged: there is no file '{file}'" in message


def test_the_function_stays_one_though_modules_are_imported():
    assert callable(package.predict)
    assert package.predict is package.predict
    assert package.predict.__module__ == "globalconv.inference.prediction"
