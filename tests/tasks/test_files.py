"""The door for files: what is no regular file is refused at once, sizes are checked first, and text is told apart."""

import io
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from globalconv.errors import InputError
from globalconv.tasks import Translation, load_task, text_files
from globalconv.tasks import files as files_module
from globalconv.tasks.files import parsing, read_lines, user_path
from globalconv.tasks.gettext_catalogues import read_catalogues
from globalconv.tasks.idx import read_idx
from globalconv.tasks.npz_file import read_npz
from globalconv.tasks.text_files import files_below
from tests.tasks.examples import is_root

SUFFIXES = (".npz", ".csv", ".tsv", ".txt", ".po", ".mo", ".gz")


def read(path: Path | str) -> object:
    """By the reader that the name asks for."""
    suffix = Path(path).suffix
    if suffix in (".tsv", ".po", ".mo"):
        return Translation(str(path))
    if suffix == ".gz":
        return read_idx(Path(path))
    return load_task(str(path), label="kind" if suffix == ".csv" else None)


def refuse(path: Path | str, reader: Callable[[Path], object] = read) -> str:
    with pytest.raises(InputError) as error:
        reader(path)
    return str(error.value)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    socket.socket(socket.AF_UNIX).bind(str(path))


THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (make_pipe, "is a pipe, socket or device"),
    "socket": (make_socket, "is a pipe, socket or device, not a regular file"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "there is no file|is a broken link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "nothing in it": (lambda path: path.touch(), "is empty"),
    "nothing there": (lambda path: None, "there is no file"),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such things here")
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("thing", THINGS)
def test_what_is_no_file_is_refused_at_once(
    thing: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    path = Path(f"x{suffix}")
    make, words = THINGS[thing]
    make(path)
    with pytest.raises(InputError, match=words):
        read(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_holes_is_neither_read_nor_kept(suffix: str, tmp_path: Path):
    path = tmp_path / f"x{suffix}"
    with path.open("wb") as file:
        file.truncate(10**13)  # more than any machine's memory
    assert path.name in refuse(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("x.csv", b"a,b,kind\n" + b"1,2,x\n" * 20_000),
        ("x.tsv", b"one\ttwo\n" * 20_000),
        ("x.po", b'msgid "a"\nmsgstr "b"\n\n'),
        ("x.mo", struct.pack("<7I", 0x950412DE, 0, 1, 28, 36, 0, 0)),
        ("x.gz", b"\0\0\x08\x03" + b"\xff" * 12),
    ],
)
def test_what_would_not_fit_is_told_before_it_is_read(name: str, start: bytes, tmp_path: Path):
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(start)
        file.truncate(10**13)
    if path.suffix == ".gz":
        path = path.rename(tmp_path / "x")
    told = refuse(path, read_idx if path.name == "x" else read)
    assert "GB of memory, and" in told
    assert "GB are free" in told


@pytest.mark.parametrize(
    "name", ["/dev/stdin", "/dev/fd/0", "/proc/cpuinfo", "/proc", "/dev/null", "/dev/full"]
)
@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="another system")
def test_what_the_system_makes_up_is_no_data(name: str):
    assert "another process" in (told := refuse(name)) or "not a regular file" in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("~nobody-of-this-name/x.csv", "is not a path: "),
        ("x" * 300 + ".csv", "[.]{3}.*cannot be accessed: File name too long"),
        ("x/" * 3000, "File name too long"),
        ("a\0b.npz", r"a\\x00b[.]npz' cannot be accessed: embedded null"),
    ],
)
def test_names_that_no_file_can_have(name: str, words: str):
    for ask in (user_path, load_task, Translation):
        with pytest.raises(InputError, match=words):
            ask(name)
    with pytest.raises(InputError, match=words):
        load_task("fashion", data=name)


@pytest.mark.skipif(is_root(), reason="root may read everything")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_may_not_be_read(suffix: str, tmp_path: Path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"a,b,kind\n1,2,x\n")
    path.chmod(0)
    assert "Permission denied" in refuse(path)


def test_links_in_a_circle_and_folders_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "one.txt").write_text("1")
    assert files_below(tmp_path) == [tmp_path / "a" / "one.txt"]
    monkeypatch.setattr("globalconv.tasks.text_files.MOST_FILES", 3)
    for number in range(3):
        (tmp_path / "a" / f"folder{number}").mkdir()
    for reader in (files_below, read_catalogues):
        assert "more than 3 files and folders" in refuse(tmp_path, reader)


ERRORS = (MemoryError(), RecursionError("too deep"), NotImplementedError("method 9"), KeyError("x"), OSError("odd"),
          SyntaxError("bad header"), struct.error("4 bytes"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"),
          StopIteration(), AssertionError(), OSError(5, "Input/output error"))  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_a_parser_raises_is_told_with_the_files_name(error: Exception):
    with pytest.raises(InputError, match=r"'x[.]po' is no catalogue: .|cannot read 'x[.]po': Input"):  # noqa: SIM117
        with parsing(Path("x.po"), "is no catalogue: {reason}."):
            raise error
    with pytest.raises(InputError, match="more memory than there is"), parsing(Path("x"), "is odd: {reason}"):
        raise MemoryError
    with pytest.raises(InputError, match=r"^ours$"), parsing(Path("x.po"), "is no catalogue: {reason}."):
        raise InputError("ours")
    with pytest.raises(KeyboardInterrupt), parsing(Path("x.po"), "is no catalogue: {reason}."):
        raise KeyboardInterrupt


TEXTS = [
    (b"a\nb\r\nc", ["a\n", "b\r\n", "c"]),
    (b"\xef\xbb\xbfa\n\n", ["a\n", "\n"]),
    ("a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\n".encode(), ["a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\n"]),
    (b"a\n\xe9\n", "line 2, byte 1 holds the byte 0xe9, which is not UTF-8"),
    (b"a\n" * 50_000 + b"ab\0c", "line 50001, byte 3 holds a null byte"),
    (b"a\n" * 50_000 + b"ab\xe9c\n", "line 50001, byte 3 holds the byte 0xe9"),
    (b"a\n" * 50_000 + "é".encode()[:1], "line 50001, byte 1 holds the byte 0xc3"),
    ("a\tb\n".encode("utf-16"), "UTF-16"),
    ("a\tb\n".encode("utf-16-le"), "holds a null byte, as UTF-16"),
    ("a\tb\n".encode("utf-32"), "UTF-16|null byte"),
    (b"a" * 1000, "line 1 of .* is longer than 1000 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), TEXTS, ids=range(len(TEXTS)))
def test_lines(content: bytes, expected: list[str] | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files_module, "LONGEST_LINE", 1000)
    (tmp_path / "x.txt").write_bytes(content)
    if isinstance(expected, list):
        assert list(read_lines(tmp_path / "x.txt", newline="\n")) == expected
        return
    with pytest.raises(InputError, match=expected):
        list(read_lines(tmp_path / "x.txt", newline="\n"))


def archive(path: Path, method: int = zipfile.ZIP_STORED, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in parts.items():
            made.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(shape: object, dtype: str = "<f8", behind: int = 5760) -> bytes:
    told = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(told)) + told + bytes(behind)


Y = npy(np.arange(60) % 2)
HOSTILE = {
    "a shape of 10^12": ({"X": header((10**12, 12)), "y": Y}, "needs 96000000000000 bytes, but there are 5760"),
    "a shape beyond 64 bits": ({"X": header((10**20, 12)), "y": Y}, "but there are 5760"),
    "too small a shape": ({"X": header((60, 11)), "y": Y}, "needs 5280 bytes, but there are 5760"),
    "a shape of another sign": ({"X": header((-60, -12)), "y": Y}, "array X"),
    "one size of another sign": ({"X": header((-60, 12)), "y": Y}, "needs -5760 bytes"),
    "a shape of words": ({"X": header(("a", 2)), "y": Y}, "array X that cannot be read"),
    "letters of a gigabyte": ({"X": header((60, 12)), "y": header((60,), "<U268435456")}, "array y"),
    "an expression": ({"X": b"\x93NUMPY\x01\x00" + struct.pack("<H", 9001) + b"-" * 9000 + b"\n", "y": Y}, "array X"),
    "a long header": ({"X": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", "y": Y}, "array X"),
    "a version to come": ({"X": b"\x93NUMPY\x09\x00" + bytes(90), "y": Y}, "array X .*version 9.0"),
    "no array at all": ({"X": b"text", "y": Y}, "array X that cannot be read"),
    "fields": ({"X": npy(np.zeros(60, [("a", "f8"), ("b", "f8")])), "y": Y}, "X in .* has type"),
    "dates": ({"X": npy(np.zeros((60, 12), "M8[s]")), "y": Y}, "X in .* has type datetime64"),
    "objects": ({"X": npy(np.array([[1, "a"]] * 60, object)), "y": Y}, "Python objects, which are refused"),
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_that_say_what_is_not_so(what: str, method: int, tmp_path: Path):
    parts, words = HOSTILE[what]
    path = archive(tmp_path / "x.npz", method, **parts)
    with pytest.raises(InputError, match=words):
        read_npz(path)


def test_archives_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    values = np.zeros((60, 1000))
    path = archive(tmp_path / "x.npz", X=npy(values), y=Y)
    monkeypatch.setattr(files_module, "free_memory", lambda: values.nbytes)
    assert "GB of memory" in refuse(path, read_npz)
    monkeypatch.setattr(files_module, "free_memory", lambda: 10 * values.nbytes)
    assert read_npz(path)["all"].values.shape == (60, 1000, 1)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Zeros pack a thousandfold; a limit small enough for a test stands for gigabytes of them."""
    monkeypatch.setattr("globalconv.tasks.npz_file.BOMB", 100_000)
    zeros = npy(np.zeros((60, 1000)))
    packed = archive(tmp_path / "x.npz", zipfile.ZIP_DEFLATED, X=zeros, y=Y)
    assert "nearly all of it is one value. If that is right, save it uncompressed" in refuse(packed, read_npz)
    assert read_npz(archive(tmp_path / "y.npz", X=zeros, y=Y))["all"].values.shape == (60, 1000, 1)


@pytest.mark.parametrize(
    ("local", "central", "value", "words"),
    [(6, 8, 1, "password"), (8, 10, 9, "compression"), (8, 10, 97, "compression"), (0, 16, 7, "CRC")],
)
def test_archives_locked_or_packed_in_other_ways(
    local: int, central: int, value: int, words: str, tmp_path: Path
):
    """One byte of the zip format's headers, of each member and in the list at its end."""
    raw = bytearray(archive(tmp_path / "x.npz", X=npy(np.ones((60, 12))), y=Y).read_bytes())
    for mark, place in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = -1
        while place and (at := raw.find(mark, at + 1)) >= 0:
            raw[at + place] = value
    (tmp_path / "x.npz").write_bytes(raw)
    told = refuse(tmp_path / "x.npz", read_npz)
    assert words in told
    assert "objects" not in told


def compiled(*messages: tuple[bytes, bytes], lengths: dict[int, int] | None = None, spread: int = 0) -> bytes:
    """A .mo by hand. ``lengths``: what is told of a message's length, by its number, other than it is."""
    count, texts = len(messages), b""
    tables = [b"", b""]
    start = 28 + 16 * count
    for side in (0, 1):
        for number, message in enumerate(messages):
            told = (lengths or {}).get(number, len(message[side]))
            tables[side] += struct.pack("<2I", told, start + (spread or len(texts)))
            texts += message[side] + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0) + tables[0] + tables[1] + texts


WORDS = ((b"a cat", b"un chat"), (b"a dog", b"un chien"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (compiled(*WORDS)[:-1], "it is truncated"),
        (compiled(*WORDS, lengths={1: 10**6}), "it is truncated"),
        (compiled(*WORDS, lengths={0: 3}), "does not end at its declared length"),
        (compiled(*[(b"a" * 200, b"b" * 200)] * 50, spread=1), "does not end|messages overlap"),
        (compiled(*WORDS)[:8] + b"\1" + compiled(*WORDS)[9:], "position or size of its tables"),
        (compiled(*WORDS)[:8] + b"\xff" * 20, "tables"),
        (compiled(*WORDS)[:8] + bytes(20) + compiled(*WORDS)[28:], "tables"),
    ],
)
def test_compiled_catalogues_that_say_what_is_not_so(content: bytes, words: str, tmp_path: Path):
    path = tmp_path / "fr.mo"
    path.write_bytes(compiled(*WORDS))
    assert read_catalogues(path)[0] == [(s.decode(), t.decode()) for s, t in WORDS]
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_catalogues(path)


def test_messages_that_share_their_bytes_do_not_multiply(tmp_path: Path):
    """Each message of this file is nearly all of it: unpacked it would be its square."""
    count, size = 1000, 20_000
    table = struct.pack("<2I", size, 28 + 16 * count) * count
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    (tmp_path / "fr.mo").write_bytes(head + table + table + b"a" * size + b"\0")
    assert "its messages overlap" in refuse(tmp_path / "fr.mo", read_catalogues)


def test_an_encoding_that_makes_halves_of_characters_is_told(tmp_path: Path):
    entries = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-7\\n"\n\nmsgid "a +2AA-"\nmsgstr "b"\n'
    (tmp_path / "x.po").write_text(entries)
    assert "is not a readable catalogue" in refuse(tmp_path / "x.po", read_catalogues)


def test_of_a_file_that_is_no_text_little_is_read(tmp_path: Path):
    (tmp_path / "x.bin").write_bytes(b"\0" + bytes(10**6))
    content, size = text_files._read(tmp_path / "x.bin", 10**6)
    assert len(content) == files_module.START < size
