"""The user's own table: what is read, how it is split and scaled, and every way in which it may be wrong."""

import csv
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Table
from globalconv.tasks.csv_file import read_csv
from globalconv.tasks.hold_out import three_ways
from globalconv.tasks.npz_file import read_npz
from tests.tasks.examples import write_csv, write_npz

HEADER = "a,b,kind,c"
ROWS = [f"{i},{i + 1}.5,{'xyz'[i % 3]},-{i}e-1" for i in range(30)]


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def refuse(path: Path, label: str | None = None) -> str:
    with pytest.raises(InputError) as error:
        Table(str(path), label)
    return str(error.value)


def test_a_csv_is_read_in_the_order_of_its_columns(tmp_path: Path):
    data = read_csv(write(tmp_path / "t.csv", HEADER, *ROWS), "kind")
    assert data.columns == ("a", "b", "c")
    assert data.values.shape == (30, 3, 1)
    assert data.values[4, :, 0].tolist() == [4, 5.5, -0.4]
    assert data.labels[:4].tolist() == ["x", "y", "z", "x"]


@given(
    values=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1
    )
)
@pytest.mark.parametrize(
    ("suffix", "delimiter"), [(".csv", ","), (".csv", ";"), (".csv", "\t"), (".tsv", "\t")]
)
def test_numbers_survive(
    values: list[list[float]], suffix: str, delimiter: str, tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("csv") / f"t{suffix}"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["one", "two, too", "three; 3", "class"])
        writer.writerows([*map(repr, row), 'a "b"'] for row in values)
    data = read_csv(path, "class")
    assert data.values[:, :, 0].tolist() == values
    assert set(data.labels) == {'a "b"'}


def test_a_byte_order_mark_blank_lines_and_spaces_do_no_harm(tmp_path: Path):
    path = write(tmp_path / "t.csv", "\ufeffkind, a ,b", "", " x , 1, 2", "", "y,3 ,4", "")
    data = read_csv(path, "kind")
    assert data.columns == ("a", "b")
    assert data.labels.tolist() == ["x", "y"]
    assert data.values[:, :, 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.uint16, np.int64, bool, ">f4"]
)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_an_archive_of_any_real_type(tmp_path: Path, seed: int, dtype: Any, channels: int | None):
    shape = (40, 6) if channels is None else (40, 6, channels)
    values = (np.random.default_rng(seed).normal(size=shape) * 50 + 60).clip(0, 120).astype(dtype)
    path = save(tmp_path / "t.npz", X=values, y=np.arange(40) % 2, other=np.zeros(3))
    assert np.array_equal(read_npz(path)["all"].values, values.reshape(40, 6, -1))
    task = Table(str(path))
    assert task.signature.channels == (channels or 1)
    epoch = task.train_batch(0, seed=0, batch_size=24).inputs
    assert torch.allclose(epoch.mean(dim=(0, 1)), torch.zeros(channels or 1), atol=1e-5)
    assert torch.allclose(epoch.std(dim=(0, 1), correction=0), torch.ones(channels or 1), atol=1e-5)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array([-7, 10**12]),
        np.array([False, True]),
        np.array([2.0, 5.0]),
        np.array([3, 9], np.uint8),
    ],
)
def test_classes_of_any_name(tmp_path: Path, labels: np.ndarray):
    task = Table(
        str(save(tmp_path / "t.npz", X=np.random.default_rng(0).normal(size=(40, 4)), y=np.tile(labels, 20)))
    )
    assert task.signature.num_outputs == 2
    as_shown = labels.astype(int) if labels.dtype.kind == "f" else labels
    assert task.classes == tuple(str(label) for label in as_shown)


def test_a_large_offset_does_not_eat_the_digits(tmp_path: Path, seed: int):
    signal = np.random.default_rng(seed).normal(size=(60, 8))
    one = Table(str(save(tmp_path / "one.npz", X=signal, y=np.arange(60) % 2)))
    moved = Table(str(save(tmp_path / "moved.npz", X=signal + 1.7e9, y=np.arange(60) % 2)))
    for a, b in zip(
        one.evaluation_batches("test", batch_size=9),
        moved.evaluation_batches("test", batch_size=9),
        strict=True,
    ):
        assert torch.allclose(a.inputs, b.inputs, atol=1e-5)


def test_values_are_standardised_by_the_training_examples_only(tmp_path: Path, seed: int):
    """Held-out values a hundred times larger do not move the scale: no statistics leak."""
    values = np.random.default_rng(seed).normal(size=(50, 4))
    classes = np.arange(50) % 2
    before = Table(str(save(tmp_path / "t.npz", X=values, y=classes)))
    (test,) = before.evaluation_batches("test", batch_size=100)
    scale = before.train_batch(0, seed=0, batch_size=30)
    held = [int(np.abs(values - row * 1.0).sum(1).argmin()) for row in _raw(before, test.inputs)]
    values[held] *= 100
    after = Table(str(save(tmp_path / "t.npz", X=values, y=classes)))
    assert torch.equal(after.train_batch(0, seed=0, batch_size=30).inputs, scale.inputs)
    assert after.digest != before.digest


def _raw(task: Table, inputs: torch.Tensor) -> np.ndarray:
    return (inputs * task._scale + task._mean)[:, :, 0].numpy()


def test_the_majority_baseline_is_of_the_test_split(tmp_path: Path, seed: int):
    # Of 7 and 3 examples, 1 and 1 are for the test, 2 and 1 for validation, 4 and 1 for training.
    values = np.random.default_rng(seed).normal(size=(10, 4))
    task = Table(str(save(tmp_path / "t.npz", X=values, y=np.array([0] * 7 + [1] * 3))))
    assert "5 train, 3 validation, 2 test" in task.description
    baselines = {baseline.name: baseline.value for baseline in task.baselines()}
    assert baselines["majority class"] == 0.5
    assert set(baselines) == {"majority class", "linear model on the raw values"}


def test_the_linear_baseline_sees_what_is_linear(tmp_path: Path, seed: int):
    values = np.random.default_rng(seed).normal(size=(300, 5, 2))
    linear = Table(str(save(tmp_path / "linear.npz", X=values, y=values[:, 3, 1] > 0)))
    assert linear.baselines()[-1].value > 0.9
    product = Table(str(save(tmp_path / "product.npz", X=values, y=values[:, 0, 0] * values[:, 4, 1] > 0)))
    assert product.baselines()[-1].value < 0.75


def test_of_large_data_the_linear_baseline_takes_a_share(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("globalconv.tasks.linear_baseline.MAX_PRODUCTS", 40 * 5 * 2)
    values = np.random.default_rng(seed).normal(size=(300, 5))
    classes = np.r_[np.zeros(297, np.int64), np.ones(3, np.int64)]
    names = [
        baseline.name for baseline in Table(str(save(tmp_path / "t.npz", X=values, y=classes))).baselines()
    ]
    assert any(re.search(r"[(]4[01] of 179 training examples[)]", name) for name in names)


def test_rare_classes_are_noticed(tmp_path: Path):
    rows = [*ROWS, "1,2,once,3", "1,2,twice,3", "4,5,twice,3"]
    (rare, few) = Table(str(write(tmp_path / "t.csv", HEADER, *rows)), "kind").notices
    assert rare.startswith(
        "Classes with fewer than 3 examples: 'once' (1), 'twice' (2). A class of one example is trained"
    )
    assert "merge such classes" in rare
    assert few == "The test split has 7 examples, so each counts 14.3% of the accuracy."


def test_constant_columns_are_noticed(tmp_path: Path):
    rows = [f"{row},7" for row in ROWS]
    notices = Table(str(write(tmp_path / "t.csv", f"{HEADER},still", *rows)), "kind").notices
    assert "Constant over all training examples, so without information: column still." in notices
    values = np.random.default_rng(0).normal(size=(300, 9))
    values[:, 2:] = 5
    notices = Table(str(save(tmp_path / "t.npz", X=values, y=np.arange(300) % 2))).notices
    assert notices == (
        "Constant over all training examples, so without information: column X[:, 2], X[:, 3], X[:, 4], "
        "X[:, 5], X[:, 6] and 2 more.",
    )


def test_a_column_that_varies_only_among_held_out_examples_is_constant(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(300, 3))
    classes = np.arange(300) % 2
    train, _, _ = three_ways(classes)
    values[train, 1] = 0
    (notice,) = Table(str(save(tmp_path / "t.npz", X=values, y=classes))).notices
    assert "column X[:, 1]." in notice


def test_uneven_columns_are_noticed(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(300, 5))
    save(tmp_path / "even.npz", X=values, y=np.arange(300) % 2)
    assert Table(str(tmp_path / "even.npz")).notices == ()
    values[:, 1] *= 1e5
    (notice,) = Table(str(save(tmp_path / "uneven.npz", X=values, y=np.arange(300) % 2))).notices
    assert "scale them first" in notice


CSV_MISTAKES = [
    ([], "kind", "is empty. Give a file"),
    (["", ""], "kind", "has no header"),
    (["1,2,3", "4,5,6"], "kind", "first line of 't.csv' holds numbers instead of column names"),
    ([",a,kind", "0,1,x"], "kind", "column 1 of 't.csv' has no name. If it counts the rows, .*index=False[)]"),
    (["a,a,kind", "0,1,x"], "kind", "two columns with the same name: a"),
    ([HEADER, *ROWS], None, "--label is missing: .* the column of 't.csv' .* Columns: a, b, kind, c"),
    ([HEADER, *ROWS], "kinds", "no column 'kinds'. Did you mean 'kind'[?] Columns: a, b, kind, c"),
    ([HEADER, *ROWS], "zzzz", "no column 'zzzz'. Columns: a"),
    ([HEADER], "kind", "has column names but no rows"),
    (["kind", "x", "y"], "kind", "has only the column"),
    ([HEADER, *ROWS, "1,2,x"], "kind", "line 32 of 't.csv' has 3 cells, but the first line names 4 columns"),
    ([HEADER, *ROWS, "1,2,x,3,4"], "kind", "line 32 of 't.csv' has 5 cells"),
    ([HEADER, "1,2,,3", *ROWS], "kind", "line 2 of 't.csv' has no label in column 'kind'"),
    ([HEADER, *ROWS, "1,two,x,3"], "kind", "line 32, column 'b' of 't.csv' holds 'two', which is not a number"),
    ([HEADER, '1,"2,5",x,3'], "kind", "holds '2,5', which is not a number .write decimals with a point"),
    ([HEADER, *ROWS, "1,,x,3", "1,2,x,NA", "1,nan,x,?"], "kind",
     "missing or infinite values in column 'b' [(]2, first in line 32[)], 'c' [(]2, first in line 33[)]. Fill them"),
    ([HEADER, *ROWS, "inf,2,x,3"], "kind", "missing or infinite values in column 'a' [(]1, first in line 32[)]"),
    ([HEADER, *ROWS, '1,2,"x,3'], "kind", "not a table after line 32"),
    ([HEADER, "1,2,x,3", "1,3,x,3", "2,3,x,3"], "kind", "in 't.csv' are of class 'x'. Give examples of at least two"),
    ([HEADER, "1,2,x,3", "1,3,y,3", "2,3,y,3", "2,4,y,4"], "kind",
     "has 2 classes for 4 examples, and fewer than two of them have the 3 examples .*: 'x' [(]1[)]. If these are the"),
    (["a,kind", *(f"{i},{'xy'[i % 2]}" for i in range(20))], "kind", "only one position"),
    (["a,b,kind", *(f"1,1,{'xy'[i % 2]}" for i in range(20))], "kind", "are equal, so there is nothing to learn"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "label", "words"), CSV_MISTAKES)
def test_csv_mistakes(tmp_path: Path, lines: list[str], label: str | None, words: str):
    with pytest.raises(InputError, match=words):
        Table(str(write(tmp_path / "t.csv", *lines)), label)


def test_a_regression_column_is_no_class(tmp_path: Path):
    rows = [f"{i},{i / 7:.4f},{i % 3}" for i in range(50)]
    message = refuse(write(tmp_path / "t.csv", "a,price,b", *rows), "price")
    assert "has 50 classes for 50 examples" in message
    assert "and 45 more" in message


def test_a_csv_in_another_encoding(tmp_path: Path):
    assert "iconv" in refuse(write(tmp_path / "t.csv", "café,kind", "1,é", encoding="latin-1"), "kind")


GOOD = np.arange(40.0).reshape(10, 4)
CLASSES = np.arange(10) % 2
NPZ_MISTAKES = [
    ({"data": GOOD, "target": CLASSES}, "has no array X and no array y; it holds data, target. Write it with np.savez"),
    ({"X": GOOD, "labels": CLASSES}, "has no array y; it holds X, labels"),
    ({}, "it holds nothing"),
    ({"X": GOOD, "y": CLASSES[:9]}, "has 10 examples, but y has 9: give one class for every example"),
    ({"X": GOOD[0], "y": CLASSES[:4]}, "X in 't.npz' has shape [(]4,[)]"),
    ({"X": GOOD[None, None], "y": CLASSES[:1]}, "has shape [(]1, 1, 10, 4[)]. It must be [(]examples, length[)]"),
    ({"X": GOOD[:0], "y": CLASSES[:0]}, "without an empty axis"),
    ({"X": GOOD, "y": CLASSES[:, None]}, "y in 't.npz' has shape [(]10, 1[)]"),
    ({"X": GOOD * 1j, "y": CLASSES}, "type complex128. It must hold real numbers"),
    ({"X": GOOD.astype(str), "y": CLASSES}, "It must hold real numbers"),
    ({"X": GOOD, "y": CLASSES + 0.5}, "type float64, which cannot name classes"),
    ({"X": GOOD, "y": np.array([np.nan, 1.0] * 5)}, "cannot name classes"),
    ({"X": np.where(GOOD % 9 == 1, np.nan, GOOD), "y": CLASSES},
     "has 5 missing or infinite values in 5 examples: rows 0, 2, 4, 7, 9 [(]counted .*. Drop these rows or fill"),
    ({"X": np.where(GOOD == 7, -np.inf, GOOD), "y": CLASSES}, "in 1 examples: rows 1 "),
    ({"X": np.array([[1, "a"]] * 10, dtype=object), "y": CLASSES},
     "array X in .* holds Python objects, which are refused: .* lengths=n"),
    ({"X": GOOD, "y": np.array(["a", "b"] * 5, dtype=object)}, "array y .* y=np.array[(]y[)].astype[(]str[)]"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "words"), NPZ_MISTAKES)
def test_npz_mistakes(tmp_path: Path, arrays: dict[str, np.ndarray], words: str):
    with pytest.raises(InputError, match=f"(?s){words}"):
        Table(str(save(tmp_path / "t.npz", **arrays)))


class Boom:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "t.npz", X=np.array([[Boom()]] * 3, dtype=object), y=np.arange(3))
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Boom()))
    (tmp_path / "unpickled").unlink(missing_ok=True)
    refuse(tmp_path / "t.npz")
    refuse(tmp_path / "p.npz")
    assert not (tmp_path / "unpickled").exists()


def test_files_that_are_no_archives(tmp_path: Path, seed: int):
    whole = write_npz(tmp_path / "good.npz", np.random.default_rng(seed)).read_bytes()
    path = tmp_path / "t.npz"
    path.write_bytes(b"")
    assert "is empty" in refuse(path)
    path.write_text("a,b\n1,2\n")
    assert "is not a NumPy archive. Save it with np.savez" in refuse(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert "is not a NumPy archive" in refuse(path)
    np.save(tmp_path / "single.npy", GOOD)
    (tmp_path / "single.npy").rename(path)
    assert "is a single array, not an archive" in refuse(path)
    damaged = bytearray(whole)
    damaged[400:420] = bytes(20)
    path.write_bytes(bytes(damaged))
    assert "cannot be read" in refuse(path)


def test_paths_and_labels_that_do_not_fit(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(seed)
    assert "there is no file" in refuse(tmp_path / "absent.csv")
    assert "Its name must end in one of .npz, .csv, .tsv" in refuse(tmp_path / "t.parquet")
    assert "Leave out --label kind" in refuse(write_npz(tmp_path / "t.npz", rng), "kind")
    path = write_csv(tmp_path / "t.csv", rng)

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    assert "Permission denied. Check its permissions" in refuse(path, "kind")
