"""What the arrays of an archive mean: which axis is time, whose splits they are, and what is not used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from globalconv.errors import InputError
from globalconv.tasks import Table

CLASSES = np.arange(60) % 2


def table(folder: Path, *, name: str = "t.npz", **given: Any) -> Table:
    """A table of arrays and options."""
    options = {key: given.pop(key) for key in ("layout", "groups", "validation", "test") if key in given}
    np.savez(folder / name, **given)
    return Table(str(folder / name), **options)


def refused(folder: Path, **given: Any) -> str:
    with pytest.raises(InputError) as error:
        table(folder, **given)
    return str(error.value)


@pytest.mark.parametrize("shape", [(60, 2, 64), (60, 1, 9), (60, 16, 128)])
def test_an_axis_too_short_for_time_is_taken_as_channels_and_told(
    tmp_path: Path, shape: tuple[int, ...], seed: int
):
    values = np.random.default_rng(seed).normal(size=shape)
    found = table(tmp_path, X=values, y=CLASSES)
    assert (found.signature.channels, found.signature.length) == shape[1:]
    (told,) = (notice for notice in found.notices if "--layout" in notice)
    assert told.endswith("--layout channels_last.")
    assert found.digest == table(tmp_path, X=values.swapaxes(1, 2), y=CLASSES).digest
    asked = table(tmp_path, X=values, y=CLASSES, layout="channels_first")
    assert asked.digest == found.digest
    assert not any("--layout" in notice for notice in asked.notices)
    if shape[1] > 1:
        other = table(tmp_path, X=values, y=CLASSES, layout="channels_last")
        assert (other.signature.length, other.signature.channels) == shape[1:]


@pytest.mark.parametrize("shape", [(60, 2, 15), (60, 17, 200), (60, 20, 40)])
def test_where_it_is_not_certain_the_last_axis_is_channels_and_the_doubt_is_told(
    tmp_path: Path, shape: Any, seed: int
):
    found = table(tmp_path, X=np.random.default_rng(seed).normal(size=shape), y=CLASSES)
    assert (found.signature.length, found.signature.channels) == shape[1:]
    (told,) = (notice for notice in found.notices if "--layout" in notice)
    assert told.endswith("--layout channels_first.")


@pytest.mark.parametrize("shape", [(60, 20), (60, 64, 2), (60, 20, 39)])
def test_where_nobody_would_doubt_nothing_is_said(tmp_path: Path, shape: Any, seed: int):
    found = table(tmp_path, X=np.random.default_rng(seed).normal(size=shape), y=CLASSES)
    assert found.signature.length == shape[1]
    assert not any("--layout" in notice for notice in found.notices)


def test_lengths_tell_which_axis_is_time(tmp_path: Path, seed: int):
    values = np.random.default_rng(seed).normal(size=(60, 12, 20))
    by_last = table(tmp_path, X=values, y=CLASSES, lengths=np.full(60, 12))
    assert (by_last.signature.length, by_last.signature.channels) == (12, 20)
    assert not any("--layout" in notice for notice in by_last.notices)
    lengths = 20 - np.arange(60) % 7
    by_first = table(tmp_path, X=values, y=CLASSES, lengths=lengths)
    assert (by_first.signature.length, by_first.signature.channels) == (20, 12)
    assert any("--layout channels_last" in notice for notice in by_first.notices)
    assert by_first.digest == table(tmp_path, X=values.swapaxes(1, 2), y=CLASSES, lengths=lengths).digest


def test_a_layout_of_what_has_none_is_refused(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(60, 12))
    assert "only one channel" in refused(tmp_path, X=values, y=CLASSES, layout="channels_first")
    assert "Known: channels_first, channels_last" in refused(tmp_path, X=values, y=CLASSES, layout="nlc")


def test_arrays_that_are_not_used_are_named(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(60, 12))
    found = table(tmp_path, X=values, y=CLASSES, rate=np.array(50.0), odd=np.array([{}], dtype=object))
    (told,) = (notice for notice in found.notices if "Not used" in notice)
    assert told == "Not used: array rate, odd."
    assert found.digest == table(tmp_path, X=values, y=CLASSES).digest
    found = table(tmp_path, X=values, y=CLASSES, Patient=np.arange(60) // 5)
    assert any("add --groups Patient to keep each group" in notice for notice in found.notices)


NAMES = [("validation", "X"), ("val", "x"), ("valid", "X")]


@pytest.mark.parametrize(("ending", "letter"), NAMES)
def test_the_user_s_own_splits_stay_as_they_are(tmp_path: Path, ending: str, letter: str, seed: int):
    values = np.random.default_rng(seed).normal(size=(60, 12, 3))
    parts = {"train": slice(0, 31), ending: slice(31, 44), "test": slice(44, 60)}
    arrays = {f"{letter}_{part}": values[where] for part, where in parts.items()}
    arrays |= {f"y_{part}": CLASSES[where] for part, where in parts.items()}
    found = table(tmp_path, **arrays)
    assert "31 train, 13 validation, 16 test" in found.description
    assert not any("held out" in notice for notice in found.notices)
    for part, where in (("validation", parts[ending]), ("test", parts["test"])):
        (batch,) = found.evaluation_batches(part, batch_size=99)
        raw = batch.inputs.double() * found._scale + found._mean
        assert torch.allclose(raw, torch.from_numpy(values[where]), atol=1e-5)
        assert batch.targets.tolist() == CLASSES[where].tolist()


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_files_of_splits_are_read_as_arrays_of_splits_are(tmp_path: Path, suffix: str, seed: int):
    values = np.random.default_rng(seed).normal(size=(60, 5)).round(3)
    parts = {"train": slice(0, 31), "validation": slice(31, 44), "test": slice(44, 60)}
    for part, where in parts.items():
        path = tmp_path / f"{part}{suffix}"
        if suffix == ".npz":
            np.savez(path, X=values[where], y=CLASSES[where])
        else:
            rows = (
                ",".join(map(str, [*row, name]))
                for row, name in zip(values[where], CLASSES[where], strict=True)
            )
            path.write_text("\n".join(["a,b,c,d,e,kind", *rows]))
    label = None if suffix == ".npz" else "kind"
    files = {part: str(tmp_path / f"{part}{suffix}") for part in parts}
    found = Table(files["train"], label, validation=files["validation"], test=files["test"])
    arrays = {f"X_{part}": values[where] for part, where in parts.items()}
    arrays |= {f"y_{part}": CLASSES[where] for part, where in parts.items()}
    assert found.digest == table(tmp_path, **arrays).digest


def test_files_of_splits_have_the_same_columns(tmp_path: Path):
    rows = [f"{i},{i * i % 7},{'xy'[i % 2]}" for i in range(20)]
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test", "more")}
    for name, header in (("train", "a,b,kind"), ("test", "b,a,kind"), ("more", "a,b,c,kind")):
        lines = [row.replace(",", ",0,", 1) for row in rows] if name == "more" else rows
        files[name].write_text("\n".join([header, *lines]))
    with pytest.raises(InputError, match="the test file has the column 'b' where the training file has 'a'"):
        Table(str(files["train"]), "kind", test=str(files["test"]))
    with pytest.raises(InputError, match="the test sequences have 3 positions, but the training sequences 2"):
        Table(str(files["train"]), "kind", test=str(files["more"]))


def test_a_column_that_is_named_like_groups_is_not_taken_for_values_in_silence(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(
        "\n".join(["Patient,a,b,kind", *(f"{i // 3},{i},{i * i % 7},{'xy'[i % 2]}" for i in range(60))])
    )
    assert any(notice.endswith("--groups Patient.") for notice in Table(str(path), "kind").notices)
    grouped = Table(str(path), "kind", groups="Patient")
    assert grouped.signature.length == 2
    assert not any("--groups" in notice for notice in grouped.notices)


def test_a_split_that_is_missing_is_held_out_and_told(tmp_path: Path, seed: int):
    values = np.random.default_rng(seed).normal(size=(60, 12))
    own = {"X_train": values[:50], "y_train": CLASSES[:50], "X_test": values[50:], "y_test": CLASSES[50:]}
    found = table(tmp_path, **own)
    assert "40 train, 10 validation, 10 test" in found.description
    assert any(
        "No validation split is given, so 10 of the 50 training examples" in notice
        for notice in found.notices
    )
    alone = table(tmp_path, X_train=values, y_train=CLASSES)
    assert "38 train, 10 validation, 12 test" in alone.description
    assert sum("held out for it" in notice for notice in alone.notices) == 2


def test_rows_in_two_splits_are_counted(tmp_path: Path, seed: int):
    values = np.random.default_rng(seed).normal(size=(60, 12))
    own = {"X_train": values[:50], "y_train": CLASSES[:50], "X_test": values[45:], "y_test": CLASSES[45:]}
    own |= {"X_val": values[40:50], "y_val": CLASSES[40:50]}
    notices = table(tmp_path, **own).notices
    assert any(
        notice.startswith("10 of 10 validation examples also occur in the training split")
        for notice in notices
    )
    assert any(
        notice.startswith("5 of 15 test examples also occur in the training split") for notice in notices
    )
    assert any("number for number" in n for n in table(tmp_path, X=values[[0, 1] * 30], y=CLASSES).notices)
    assert not any("number for number" in n for n in table(tmp_path, X=values, y=CLASSES).notices)


V, ONE = np.random.default_rng(0).normal(size=(60, 12)), np.zeros(60, int)


def test_of_a_large_validation_split_some_of_every_class_are_used_and_that_is_told(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    values, classes = rng.normal(size=(6000, 3)), np.arange(6000) % 3
    train, validation, test = slice(60), slice(60, 3000), slice(3000, None)
    own = {
        f"{array}_{part}": of[where]
        for part, where in (("train", train), ("val", validation), ("test", test))
        for array, of in (("X", values), ("y", classes))
    }
    found = table(tmp_path, **own)
    assert "60 train, 999 validation, 3000 test" in found.description, "the user's test split stays whole"
    assert any("999 of your 2940 validation examples are used" in notice for notice in found.notices)


OWN = {"X_train": V[:40], "y_train": CLASSES[:40], "X_test": V[40:], "y_test": CLASSES[40:]}
MISTAKES: list[tuple[dict[str, Any], str]] = [
    (OWN | {"X": V, "y": CLASSES}, "holds both X and X_train. Give X and y, which globalconv splits, or"),
    ({"X_test": V, "y_test": CLASSES}, "has no array X_train"),
    ({"X_train": V, "y_train": CLASSES, "X_test": V}, "has no array y_test; it holds X_train, y_train, X_test"),
    (OWN | {"X_test": V[40:, :9]}, "the test sequences have 9 positions, but the training sequences 12"),
    (OWN | {"X_test": V[40:].reshape(20, 6, 2)}, "the test sequences have 2 channel"),
    (OWN | {"y_test": CLASSES[40:] + 1}, "have classes that the training ones lack: '2' [(]10[)]"),
    (OWN | {"y_test": ONE[40:]}, "the test split of 't.npz' has only examples of class '0', because of your splits"),
    ({"X": V, "y": CLASSES, "lengths": np.full(60, 13)}, "lengths in 't.npz' must be between 1 and 12.* Rows 0, 1, 2"),
    ({"X": V, "y": CLASSES, "lengths": np.full(60, 0)}, "lengths in 't.npz' must be between 1 and 12"),
    ({"X": V, "y": CLASSES, "lengths": np.full(60, 2.5)}, "lengths in 't.npz' has type float64. It must hold whole"),
    ({"X": V, "y": CLASSES, "lengths": np.full(59, 2)}, "lengths in 't.npz' has shape [(]59,[)]. It must be [(]60,[)]"),
    ({"X": V, "y": CLASSES, "groups": ONE[:9]}, "groups in 't.npz' has shape [(]9,[)]. It must be [(]60,[)]"),
    ({"X": V, "y": CLASSES, "groups": np.full(60, np.nan)}, "groups in 't.npz' .* missing values. Use whole"),
    ({"X": V, "y": CLASSES, "groups": "subjekt", "subject": ONE}, "unknown array 'subjekt'. Did you mean 'subject'"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "words"), MISTAKES)
def test_mistakes(tmp_path: Path, given: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        table(tmp_path, **given) if not isinstance(given.get("groups"), np.ndarray) else _with_groups(
            tmp_path, given
        )


def _with_groups(folder: Path, arrays: dict[str, Any]) -> Table:
    np.savez(folder / "t.npz", **arrays)
    return Table(str(folder / "t.npz"))


def test_a_second_file_of_splits_is_refused(tmp_path: Path):
    np.savez(tmp_path / "own.npz", **OWN)
    np.savez(tmp_path / "plain.npz", X=V, y=CLASSES)
    with pytest.raises(InputError, match=r"already holds splits .train, test.[)]?[.] Leave out --test"):
        Table(str(tmp_path / "own.npz"), test=str(tmp_path / "plain.npz"))
    with pytest.raises(InputError, match=r"--test .*own.npz: it holds splits"):
        Table(str(tmp_path / "plain.npz"), test=str(tmp_path / "own.npz"))


def test_groups_are_kept_together_where_a_split_is_missing_and_told_where_they_are_not(
    tmp_path: Path, seed: int
):
    values = np.random.default_rng(seed).normal(size=(60, 12))
    own: dict[str, Any] = {
        "X_train": values[:40],
        "y_train": CLASSES[:40],
        "groups_train": np.arange(40) // 4,
    }
    own |= {"X_test": values[40:], "y_test": CLASSES[40:], "groups_test": np.arange(20) // 4}
    notices = _with_groups(tmp_path, own).notices
    assert any("No validation split" in notice for notice in notices)
    assert any("groups are in both your training and your test split" in notice for notice in notices)
    few = own | {"groups_train": np.zeros(40, int)}
    with pytest.raises(InputError, match="too few groups to hold out a validation split"):
        _with_groups(tmp_path, few)
    with pytest.raises(InputError, match="the groups have 2 different values: at least 3 are needed"):
        _with_groups(tmp_path, {"X": values, "y": CLASSES, "groups": np.arange(60) // 30})
    with pytest.raises(
        InputError, match=r"split of 't.npz' has only examples of class '.', because of whole groups"
    ):
        _with_groups(tmp_path, {"X": values, "y": CLASSES, "groups": np.where(CLASSES, 0, np.arange(60))})
