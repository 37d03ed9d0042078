"""What could be taken for another thing in silence is read right, or refused with its place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Table, Text, Translation
from globalconv.tasks.csv_file import read_csv
from globalconv.tasks.npz_file import read_npz
from globalconv.tasks.parallel_text import locate, read_parallel_text
from globalconv.tasks.sequence_to_sequence import FIRST_SYMBOL
from globalconv.tasks.subwords import Subwords
from tests.tasks.examples import write_parallel_text, write_prose

NUMBERS = (
    "0",
    "-1",
    "+1.5",
    ".5",
    "5.",
    "1e3",
    "1E-3",
    "-0",
    "007",
    "9007199254740991",
    "1e300",
    "123456789012345678.5",
)
NO_NUMBERS = ("2021_01", "1_000", "１２", "٣", "0x1f",
              "1,5", "1 000", "1'000", "True", "false", "1e", "e5", ".", "+", "1j",
              "12:30", "2021-01", "1-2", "1e5.5", "½", "−1", "--1", "5%", "$5",
              "\ufeff1", "1\u200b", "nanx", "infin")  # fmt: skip
MISSING = ("", "nan", "NaN", "NA", "null", "inf", "-inf", "Infinity", "1e999", "-1e999")
NOT_EXACT = ("9007199254740993", "-9223372036854775808", "18446744073709551615", "1" * 40)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(path: Path, cell: str, *, delimiter: str = ",") -> Path:
    cell = f'"{cell}"' if delimiter in cell else cell
    rows = [f"{i}{delimiter}{i}.5{delimiter}{'xy'[i % 2]}" for i in range(20)]
    return write(
        path, "\n".join([delimiter.join(("a", "b", "kind")), *rows, delimiter.join((cell, "1", "x"))])
    )


@pytest.mark.parametrize("cell", NUMBERS)
def test_numbers_are_read(cell: str, tmp_path: Path):
    assert read_csv(table(tmp_path / "t.csv", cell), "kind").values[20, 0, 0] == float(cell)


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("cell", NO_NUMBERS + NOT_EXACT + MISSING)
def test_what_is_no_number_is_refused_with_its_place(cell: str, delimiter: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"line 22.*'a'|'a'.*line 22"):
        read_csv(table(tmp_path / "t.csv", cell, delimiter=delimiter), "kind")


@given(cell=st.text("0123456789+-._eE ,'x\u0661１\u00a0\u2212", min_size=1, max_size=8))
def test_a_cell_that_is_read_is_written_in_plain_digits(cell: str, tmp_path_factory: pytest.TempPathFactory):
    path = table(tmp_path_factory.mktemp("cells") / "t.csv", cell)
    try:
        (value,) = read_csv(path, "kind").values[20:, 0, 0]
    except InputError:
        return
    plain = cell.strip()
    assert not set(plain) - set("0123456789+-.eE")
    assert float(value) == float(plain)


@pytest.mark.parametrize(
    ("lines", "label", "words"),
    [
        (["5.1,3.5,x", "4.9,3.0,x", "4.7,3.2,y", "4.6,3.1,y"], "x", "its 'x' is a class, as in line 2"),
        (["a,a ,kind", "1,2,x"], "kind", "two columns with the same name: a"),
        (["a,b,kind", "1,2," + "x" * 300], "kind", "line 2 .* 300 characters in column 'kind'"),
        (["a," + "b" * 300 + ",kind", "1,2,x"], "kind", "column with 300 characters"),
        (["a,b,kind", "1,2,x\x07", "1,2,x\\x07"], "kind", "differ only in unprintable characters"),
        (["a,b,kind", "1,2,x", '1,"2\n', "3,4,x"], "kind", "not a table after line 5"),
        (["a,b,kind", "1\r2,3,x"], "kind", "line 2 .* has 1 cells"),
        (["a,b,kind", "1,\0,x"], "kind", "line 2, byte 3 holds a null byte"),
    ],
)  # fmt: skip
def test_tables_that_are_not_what_they_seem(lines: list[str], label: str, words: str, tmp_path: Path):
    with pytest.raises(InputError, match=words):
        read_csv(write(tmp_path / "t.csv", "\n".join(lines)), label)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "fr"])
def test_other_encodings_are_told(encoding: str, name: str, tmp_path: Path):
    path = write(tmp_path / name, "a\tbé\tkind\n1\t2\tx\n".encode(encoding))
    with pytest.raises(InputError, match=r"is not text: .*(line 1|UTF-16).* iconv"):  # noqa: PT012
        if name == "fr":
            Translation(f"{path},{path}")
        Text(str(path)) if name == "t.txt" else Table(str(path), "kind")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_tables_line_ends_and_mark_do_not_matter(end: str, mark: str, tmp_path: Path):
    content = end.join(["a,b,kind", "1,2,x", "3,4,y"])
    data = read_csv(write(tmp_path / "t.csv", mark + content), "kind")
    assert (data.columns, data.labels.tolist()) == (("a", "b"), ["x", "y"])
    assert data.values[:, :, 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1.0, 1e200, 1.7e308])
@pytest.mark.parametrize("name", ["t.csv", "t.npz"])
def test_values_of_any_size_are_standardised(scale: float, name: str, tmp_path: Path, seed: int):
    values = np.random.default_rng(seed).uniform(-1, 1, size=(40, 3)) * scale
    labels = np.arange(40) % 2
    if name == "t.npz":
        np.savez(tmp_path / name, X=values, y=labels)
    else:
        rows = (
            ",".join(map(repr, [*map(float, row), int(k)])) for row, k in zip(values, labels, strict=True)
        )
        write(tmp_path / name, "\n".join(["a,b,c,kind", *rows]))
    task = Table(str(tmp_path / name), "kind" if name == "t.csv" else None)
    inputs = task.train_batch(0, seed=0, batch_size=24).inputs
    assert torch.allclose(inputs.mean(dim=(0, 1)), torch.zeros(1), atol=1e-5)
    assert torch.allclose(inputs.std(dim=(0, 1), correction=0), torch.ones(1), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (np.full((10, 3), 2**53 + 1), np.arange(10) % 2, "whole numbers beyond 2.53"),
        (np.full((10, 3), 2**64 - 1, np.uint64), np.arange(10) % 2, "whole numbers beyond 2.53"),
        (np.full((10, 3), -(2**53) - 2), np.arange(10) % 2, "rows 0, 1, 2, 3, 4 and 5 more"),
        (np.full((10, 3), np.longdouble("1e4000")), np.arange(10) % 2, "missing or infinite"),
        (np.ones((10, 3)), np.array([1e300, 2e300] * 5), "cannot name classes"),
        (np.ones((10, 3)), np.array([np.inf, 1] * 5), "cannot name classes"),
        (np.ones((10, 3)), np.array(["x" * 300, "y"] * 5), "class with 300 characters"),
    ],
)
def test_archives_that_would_be_misread(values: np.ndarray, labels: np.ndarray, words: str, tmp_path: Path):
    np.savez(tmp_path / "t.npz", X=values, y=labels)
    with pytest.raises(InputError, match=words):
        read_npz(tmp_path / "t.npz")


def test_names_are_printable_behind_the_door(tmp_path: Path):
    evil = "\x1b[31m\u202e\n\x85"
    rows = "".join(f'{i},{i % 7},"{evil}{i % 2}"\n' for i in range(30))
    path = write(tmp_path / "\x1b[2J.csv", f'a,"b{evil}",kind\n{rows}')
    data = read_csv(path, "kind")
    task = Table(str(path), "kind")
    np.savez(
        tmp_path / "x.npz", X=np.random.default_rng(0).normal(size=(30, 3)), y=np.array([evil, "b"] * 15)
    )
    folder = write_prose(tmp_path / f"notes\udcff{evil}", np.random.default_rng(0), 9000)
    text = Text(str(folder), 16)
    pairs = Translation(
        str(write_parallel_text(tmp_path / f"p{evil}.tsv", np.random.default_rng(0), 300)), 24, 300
    )
    shown = [*data.columns, *data.labels.tolist(), *Table(str(tmp_path / "x.npz")).classes, *task.classes]
    for made in (task, text, pairs):
        shown += [made.name, made.description, *made.notices]
    for name in shown:
        assert name.isprintable()
    assert text.options["path"] == str(folder), "the path itself stays, or it could not be read again"
    with pytest.raises(InputError) as error:
        Text(str(write(tmp_path / f"{evil}.txt", "short")))
    assert "\x1b" not in str(error.value)


SPELT = (
    "copy lines <start> to <end> now",
    "usage: cut <end>",
    "<padding>",
    "<padding><start><end>",
    "[UNK] <unk> </s> <pad>",
)


def test_text_that_spells_a_control_token_is_text():
    subwords = Subwords(["copy lines from here to there", *SPELT] * 50, 300)
    assert subwords.size == 300
    for text in SPELT:
        (tokens,) = subwords.encode([text])
        assert (tokens >= FIRST_SYMBOL).all()
        assert tokens.max() < subwords.size
        assert subwords.decode([tokens.tolist()]) == [text]


ODD = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("odd", ODD, ids=ascii)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_line_ends_end_lines(odd: str, end: str, tmp_path: Path):
    """The pairs behind a sentence with such a character stay pairs, in a table and in two files."""
    pairs = {f"source {i}": f"target {i}" for i in range(9)}
    written = {
        source.replace("4", f"4{odd}4"): target.replace("7", f"7{odd}7") for source, target in pairs.items()
    }
    expected = {source.replace("4", "4 4"): target.replace("7", "7 7") for source, target in pairs.items()}
    path = write(tmp_path / "t.tsv", "\ufeff" + "".join(f"{s}\t{t}{end}" for s, t in written.items()))
    assert dict(read_parallel_text((path,)).pairs) == expected
    for number in (0, 1):
        write(tmp_path / "xy"[number], "".join(pair[number] + end for pair in written.items()))
    assert dict(read_parallel_text((tmp_path / "x", tmp_path / "y")).pairs) == expected


def test_a_comma_in_a_folders_name_parts_no_paths(tmp_path: Path):
    folder = tmp_path / "one, two"
    folder.mkdir()
    paths = tuple(write(folder / name, "1\n2\n") for name in ("a", "b,c"))
    assert locate(",".join(map(str, paths))) == paths
    assert locate(str(paths[1])) == (paths[1],)
    pairs = write_parallel_text(folder / "p,q.tsv", np.random.default_rng(0), 300)
    task = Translation(str(pairs), 24, 300)
    assert Translation(**task.options).digest == task.digest
