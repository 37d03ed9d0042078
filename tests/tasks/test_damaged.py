"""Files that were damaged on their way: each is refused in words, or read as what it says, within seconds.

Damage that a format can notice (checksums, lengths) must be noticed; where it cannot be (a digit for another in a
table), what is read is what an independent reading of the damaged bytes gives.
"""

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polib
import pytest

from globalconv.errors import InputError
from globalconv.tasks.csv_file import read_csv
from globalconv.tasks.gettext_catalogues import read_catalogues
from globalconv.tasks.idx import read_idx
from globalconv.tasks.npz_file import read_npz
from globalconv.tasks.parallel_text import read_parallel_text
from globalconv.tasks.text_files import read_texts
from tests.tasks.examples import write_csv, write_idx, write_npz, write_parallel_text, write_prose

Rng = np.random.Generator


@dataclass(frozen=True)
class Reader:
    """``write`` makes a good file of the ``name``; ``check`` reads a damaged one, which may be refused."""

    name: str
    write: Callable[[Path, Rng], Any]
    check: Callable[[Path, bytes], None]


def check_npz(path: Path, good: bytes) -> None:
    """An archive has checksums: what is read is what was written."""
    whole = np.load(io.BytesIO(good))
    data = read_npz(path)["all"]
    assert np.array_equal(data.values.reshape(whole["X"].shape), whole["X"])
    assert np.array_equal(data.labels, whole["y"])


def check_csv(path: Path, _: bytes) -> None:
    """What was read are the cells between the commas, as decimals have been written for ever."""
    data = read_csv(path, "kind")
    lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    header, *rows = [[cell.strip().strip('"') for cell in line.split(",")] for line in lines if line]
    place = header.index("kind")
    for row, values, label in zip(rows, data.values[:, :, 0], data.labels, strict=True):
        assert row.pop(place).encode("unicode_escape") == str(label).replace("\\\\", "\\").encode()
        assert not set("".join(row)) - set("0123456789.+-eE")
        while row and not row[-1]:  # empty at its end: a shorter sequence
            row.pop()
        assert list(map(float, row)) == values.tolist()[: len(row)]


def check_text(path: Path, _: bytes) -> None:
    (content,) = read_texts(path, max_bytes=10**6).contents
    assert content == path.read_bytes()
    assert "\0" not in content.decode()


def check_pairs(path: Path, _: bytes) -> None:
    found = read_parallel_text((path,)).pairs
    expected = {}
    for line in path.read_bytes().decode("utf-8-sig").split("\n"):
        if line.strip():
            source, target = (" ".join(side.split()) for side in line.removesuffix("\r").split("\t"))
            if source and target:
                expected.setdefault(source, target)
    assert dict(found) == expected


def check_catalogue(path: Path, good: bytes) -> None:
    """Every message stands in the file, and in a compiled catalogue, which has tables, none is lost."""
    pairs, notices = read_catalogues(path)
    content = path.read_bytes()
    assert not notices
    for source, target in pairs:
        # Without a source it is a header, with its escapes undone; it becomes no pair.
        assert not source or (source.encode() in content and target.encode() in content)
    if path.suffix == ".mo":
        assert len(content) >= len(good)
        assert len(pairs) >= 39


def check_idx(path: Path, good: bytes) -> None:
    raw = good if path.suffix == ".gz" else path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    assert raw.endswith(read_idx(path).tobytes())


def write_catalogue(path: Path, rng: Rng) -> None:
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    for number in range(40):
        words = "".join(rng.choice(list("abcdeé "), size=rng.integers(3, 60)))
        catalogue.append(polib.POEntry(msgid=f"{number} {words}", msgstr=f"{words} {number}"))
    (catalogue.save_as_mofile if path.suffix == ".mo" else catalogue.save)(str(path))


def write_packed(path: Path, rng: Rng) -> None:
    np.savez_compressed(path, X=rng.normal(size=(30, 5)).round(2), y=np.array(["a", "bé", "c"] * 10))


READERS = (
    Reader("x.npz", write_npz, check_npz),
    Reader("packed.npz", write_packed, check_npz),
    Reader("x.csv", write_csv, check_csv),
    Reader("notes.txt", lambda path, rng: write_prose(path, rng, 5000), check_text),
    Reader("pairs.tsv", lambda path, rng: write_parallel_text(path, rng, 60), check_pairs),
    Reader("fr.po", write_catalogue, check_catalogue),
    Reader("fr.mo", write_catalogue, check_catalogue),
    Reader("images", lambda path, rng: write_idx(path, rng.integers(256, size=(9, 8, 7)).astype("u1")), check_idx),
    Reader("images.gz", lambda path, rng: write_idx(path, rng.integers(256, size=(9, 8, 7)).astype("u1")), check_idx),
)  # fmt: skip


def cut(share: float) -> Callable[[bytes, Rng], bytes]:
    return lambda content, rng: content[: int(share * len(content))]


def first(num: int) -> Callable[[bytes, Rng], bytes]:
    return lambda content, rng: content[:num]


def flip(num: int) -> Callable[[bytes, Rng], bytes]:
    """``num`` bytes with one bit of each turned."""

    def damage(content: bytes, rng: Rng) -> bytes:
        spoiled = np.frombuffer(content, np.uint8).copy()
        spoiled[rng.integers(len(content), size=num)] ^= 1 << rng.integers(8, size=num).astype(np.uint8)
        return spoiled.tobytes()

    return damage


def overwrite(value: int, *, front: bool = False) -> Callable[[bytes, Rng], bytes]:
    """A block of one byte, anywhere or within the first bytes, where headers are."""

    def damage(content: bytes, rng: Rng) -> bytes:
        size = int(rng.integers(1, 24))
        start = int(rng.integers(32 if front else len(content) - size))
        return content[:start] + bytes([value]) * size + content[start + size :]

    return damage


def insert(what: bytes) -> Callable[[bytes, Rng], bytes]:
    def damage(content: bytes, rng: Rng) -> bytes:
        start = int(rng.integers(len(content)))
        return content[:start] + what + content[start:]

    return damage


DAMAGE: dict[str, Callable[[bytes, Rng], bytes]] = {
    "nothing left": first(0),
    "one byte": first(1),
    "ten bytes": first(10),
    "thirty bytes": first(30),
    "a quarter": cut(0.25),
    "half": cut(0.5),
    "most": cut(0.9),
    "all but a byte": lambda content, rng: content[:-1],
    "without its beginning": lambda content, rng: content[7:],
    "twice": lambda content, rng: content + content,
    "halves swapped": lambda content, rng: content[len(content) // 2 :] + content[: len(content) // 2],
    "one bit": flip(1),
    "three bits": flip(3),
    "thirty bits": flip(30),
    "zeros": overwrite(0),
    "zeros in front": overwrite(0, front=True),
    "ones in front": overwrite(255, front=True),
    "spaces": overwrite(32),
    "digits": overwrite(ord("1")),
    "a null byte": insert(b"\0"),
    "a carriage return": insert(b"\r"),
    "line ends for Windows": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "a byte order mark": lambda content, rng: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content, rng: content.decode("latin-1").encode("utf-16"),
    "Latin-1": lambda content, rng: content + b"\xe9\n",
    "unicode's line ends": insert("\u2028\x85\x0b\x0c\x1c".encode()),
}


def try_one(reader: Reader, damage: str, folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = folder / reader.name
    reader.write(path, rng)
    good = path.read_bytes()
    reader.check(path, good)
    path.write_bytes(DAMAGE[damage](good, rng))
    told = reader.name
    try:
        reader.check(path, good)
    except InputError as error:
        told = str(error)
    assert reader.name in told
    assert len(told) < 700


@pytest.mark.timeout(10)
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_is_refused_or_read_right(reader: Reader, damage: str, tmp_path: Path, seed: int):
    try_one(reader, damage, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["one bit", "three bits", "thirty bits", "zeros in front", "digits", "spaces"]
)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_many_damaged_files(reader: Reader, damage: str, tmp_path: Path, seed: int):
    for number in range(60):
        try_one(reader, damage, tmp_path, seed + number)
