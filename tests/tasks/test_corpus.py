"""Which files are read, what is said about the others, and that nothing held out is trained on."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Text
from globalconv.tasks import corpus as corpus_module
from globalconv.tasks.corpus import Corpus, read_corpus
from globalconv.tasks.text_files import read_texts
from tests.tasks.examples import is_root, write_records

LIMIT = 10**6


def records(array: np.ndarray) -> set[bytes]:
    """The whole 8-byte lines of a split; the first and last may be cut."""
    lines = array.tobytes().split(b"\n")
    return {line for line in lines if len(line) == 7}


def check_apart(corpus: Corpus) -> None:
    train, validation, test = (records(part) for part in (corpus.train, corpus.validation, corpus.test))
    assert train
    assert validation
    assert test
    assert not train & validation
    assert not train & test
    assert not validation & test


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_splits_share_no_byte(sizes: list[int], tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("notes")
    for number, size in enumerate(sizes):
        write_records(folder / f"{number % 3}" / f"{number}.txt", 1000 * number, size)
    if 8 * sum(sizes) < 20 * 16:
        return
    corpus = read_corpus(folder, max_bytes=LIMIT, window=16)
    check_apart(corpus)
    whole = 8 * sum(sizes)
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == whole
    for part in (corpus.validation, corpus.test):
        assert max(16, 0.02 * whole) <= len(part) <= 0.1 * whole


@pytest.mark.parametrize("num_files", [1, 30])
@pytest.mark.parametrize("named", [("validation", "test"), ("validation",), ("test",)])
def test_own_splits_are_read_whole_and_nothing_is_held_out_for_them(
    tmp_path: Path, num_files: int, named: tuple[str, ...]
):
    for number in range(num_files):
        write_records(tmp_path / "notes" / f"{number}.txt", 1000 * number, 300)
    own = {name: write_records(tmp_path / f"{name}.txt", 10**6 + 10**4 * len(name), 60) for name in named}
    corpus = read_corpus(tmp_path / "notes", max_bytes=LIMIT, window=16, own=own)
    check_apart(corpus)
    for name in ("validation", "test"):
        part = getattr(corpus, name).tobytes()
        assert (part == own[name].read_bytes()) if name in own else len(part) > 16
    left = read_corpus(tmp_path / "notes", max_bytes=LIMIT, window=16)
    everything = len(left.train) + len(left.validation) + len(left.test)
    held = sum(len(getattr(corpus, name)) for name in ("validation", "test") if name not in own)
    assert len(corpus.train) == everything - held
    assert all(f"{name} from '{file}'" in corpus.description for name, file in own.items())


def test_own_splits_that_are_too_short_or_trained_on(tmp_path: Path):
    notes, short = (
        write_records(tmp_path / "notes.txt", 0, 400),
        write_records(tmp_path / "short.txt", 9000, 1),
    )
    with pytest.raises(InputError, match=r"short.txt' holds 8 bytes of text, too few for a length of 15"):
        read_corpus(notes, max_bytes=LIMIT, window=16, own={"test": short})
    tiny = write_records(tmp_path / "tiny.txt", 0, 3)
    other = write_records(tmp_path / "other.txt", 9000, 3)
    Text(str(tiny), 15, validation=str(other), test=str(other))
    (told,) = (
        notice for notice in Text(str(notes), 15, test=str(notes)).notices if "byte for byte" in notice
    )
    assert told.startswith("190 of 200 test windows also occur in the training text")
    assert not any("byte for byte" in notice for notice in Text(str(notes), 15, test=str(other)).notices)


@pytest.mark.parametrize("num_files", [20, 60, 200])
def test_many_files_are_split_as_wholes(tmp_path: Path, num_files: int):
    for number in range(num_files):
        write_records(tmp_path / f"{number}.txt", 1000 * number, 100 + number % 3)
    corpus = read_corpus(tmp_path, max_bytes=LIMIT, window=16)
    check_apart(corpus)
    assert f"{num_files} files, split by whole files" in corpus.description
    files = [{line[:4] for line in records(part)} for part in (corpus.train, corpus.validation, corpus.test)]
    assert sum(map(len, files)) == len(set.union(*files)) == num_files


def test_no_held_out_file_outweighs_the_others(tmp_path: Path):
    for number in range(110):
        write_records(tmp_path / f"{number}.txt", 1000 * number, 150 if number < 40 else 30)
    corpus = read_corpus(tmp_path, max_bytes=LIMIT, window=16)
    for part in (corpus.validation, corpus.test):
        files = Counter(line[:4] for line in records(part))
        assert max(files.values()) <= 0.3 * sum(files.values())


def test_a_huge_file_among_many_is_not_held_out(tmp_path: Path):
    for number in range(30):
        write_records(tmp_path / f"{number}.txt", 1000 * number, 3)
    write_records(tmp_path / "huge.txt", 100_000, 5000)
    corpus = read_corpus(tmp_path, max_bytes=LIMIT, window=16)
    assert "split by position" in corpus.description
    check_apart(corpus)


def test_few_files_are_split_by_position(tmp_path: Path):
    write_records(tmp_path / "a.txt", 0, 1000)
    corpus = read_corpus(tmp_path / "a.txt", max_bytes=LIMIT, window=16)
    assert (len(corpus.train), len(corpus.validation), len(corpus.test)) == (7200, 400, 400)
    assert (
        corpus.train.tobytes() + corpus.validation.tobytes() + corpus.test.tobytes()
        == (tmp_path / "a.txt").read_bytes()
    )


def test_the_order_is_the_same_wherever_the_folder_is(tmp_path: Path):
    for place in ("here", "there/deeper"):
        for number in range(30):
            write_records(tmp_path / place / f"{number}.txt", 1000 * number, 10)
    here, there = (read_texts(tmp_path / place, max_bytes=LIMIT) for place in ("here", "there/deeper"))
    assert here == there
    assert here.contents != tuple(sorted(here.contents))


def test_what_is_skipped_is_counted(tmp_path: Path):
    for number in range(3):
        write_records(tmp_path / f"{number}.txt", 1000 * number, 100)
    (tmp_path / "copy.txt").write_bytes((tmp_path / "0.txt").read_bytes())
    (tmp_path / "zero.bin").write_bytes(b"abc\0def")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "cut.txt").write_bytes("naï".encode()[:-1])
    (tmp_path / "empty.txt").touch()
    write_records(tmp_path / ".git" / "hidden.txt", 9000, 10)
    write_records(tmp_path / ".hidden.txt", 9100, 10)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    texts = read_texts(tmp_path, max_bytes=LIMIT)
    assert len(texts.contents) == 3
    unreadable = ", 1 unreadable" if hasattr(os, "mkfifo") else ""
    num_files = 8 + hasattr(os, "mkfifo")
    assert texts.notices == (
        f"Skipped files (of {num_files}): 1 empty, 1 equal to another, 3 not text{unreadable}.",
    )


def test_reading_stops_at_the_limit(tmp_path: Path):
    for number in range(10):
        write_records(tmp_path / "many" / f"{number}.txt", 1000 * number, 100)
    texts = read_texts(tmp_path / "many", max_bytes=2000)
    assert sum(map(len, texts.contents)) == 2000
    assert texts.notices == (
        "Only 0.002 MB are used, from 3 of 10 files (the same random choice every time).",
    )
    one = write_records(tmp_path / "one.txt", 0, 1_000)
    assert read_texts(one, max_bytes=2000).contents == (one.read_bytes()[:2000],)
    assert read_texts(one, max_bytes=2000).notices == ("Only the first 0.002 of 0.008 MB are used.",)
    # A character cut by the limit is no sign of a binary file.
    (tmp_path / "accents.txt").write_text("é" * 1000, encoding="utf-8")
    assert len(read_texts(tmp_path / "accents.txt", max_bytes=1001).contents[0]) == 1001


def refuse(path: Path, *, length: int = 15) -> str:
    with pytest.raises(InputError) as error:
        read_corpus(path, max_bytes=LIMIT, window=length + 1)
    return str(error.value)


def test_bad_files(tmp_path: Path):
    assert "there is no file" in refuse(tmp_path / "absent.txt")
    (tmp_path / "empty.txt").touch()
    assert "is empty. Give a file with data" in refuse(tmp_path / "empty.txt")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\0\0")
    assert "is not text: line 1, byte 5 holds a null byte" in refuse(tmp_path / "image.png")
    assert ".npz, .csv or .tsv" in refuse(tmp_path / "image.png")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    assert "iconv -f ENCODING -t utf-8" in refuse(tmp_path / "latin.txt")
    write_records(tmp_path / "short.txt", 0, 30)
    assert "holds 240 bytes of text, too few for a length of 15. Give at least 320 bytes" in refuse(
        tmp_path / "short.txt"
    )
    assert "or use a length of at most 11." in refuse(tmp_path / "short.txt")
    assert "Give at least 20000 bytes" in refuse(tmp_path / "short.txt", length=999)
    read_corpus(tmp_path / "short.txt", max_bytes=LIMIT, window=12)
    (tmp_path / "tiny.txt").write_text("hello")
    assert "or use" not in refuse(tmp_path / "tiny.txt")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in refuse(tmp_path / "pipe")


def test_bad_folders(tmp_path: Path):
    (tmp_path / "bare").mkdir()
    assert "holds no text: it has no files" in refuse(tmp_path / "bare")
    (tmp_path / "images").mkdir()
    for number in range(3):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"\x89PNG\0" + bytes([number]))
    (tmp_path / "images" / "empty.txt").touch()
    assert "holds no text: 1 empty, 3 not text. Text must be UTF-8" in refuse(tmp_path / "images")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_records(tmp_path / "secret.txt", 0, 100)

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    assert "Permission denied. Check its permissions" in refuse(path)
    assert "holds no text: 1 unreadable" in refuse(tmp_path)


@pytest.mark.skipif(is_root(), reason="root may read everything")
def test_a_folder_that_may_not_be_listed(tmp_path: Path):
    write_records(tmp_path / "open" / "a.txt", 0, 100)
    write_records(tmp_path / "open" / "closed" / "b.txt", 1000, 100)
    (tmp_path / "open" / "closed").chmod(0)
    try:
        assert read_texts(tmp_path / "open", max_bytes=LIMIT).notices == (
            "Skipped files (of 2): 1 unreadable.",
        )
    finally:
        (tmp_path / "open" / "closed").chmod(0o700)


def test_of_the_standard_library_only_program_text_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wanted = ["json/decoder.py", "abc.py"]
    others = [
        "site-packages/a.py",
        "test/b.py",
        "idlelib/idle_test/c.py",
        "encodings/cp1.py",
        "LICENSE.txt",
        "d.pyc",
    ]
    for number, name in enumerate([*wanted, *others]):
        write_records(tmp_path / name, 1000 * number, 30)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    texts = read_texts(None, max_bytes=LIMIT)
    assert set(texts.contents) == {(tmp_path / name).read_bytes() for name in wanted}
    assert texts.notices == ()


def test_without_the_standard_librarys_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(InputError, match="Give your own file or folder"):
        read_corpus(None, max_bytes=corpus_module.MAX_BYTES, window=257)
