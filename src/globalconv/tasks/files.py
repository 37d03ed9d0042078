"""The door for the user's files: which path is meant, whether a file can be read to its end, and what its text is.

Pipes and devices would block, or never end, so only regular files are opened; and what a file says of its own size is
held against the memory that is free before any of it is taken.
"""

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from globalconv.errors import InputError
from globalconv.host.memory import free_memory

OF_A_PROCESS = ("/dev/stdin", "/dev/fd/", "/proc/", "/sys/")
"""What another process, such as a worker, would find to be another file, or the system makes up while it is read."""
START = 1 << 16
"""Bytes in which data that is no text nearly always shows itself."""
LONGEST_LINE = 1 << 24
LONGEST_NAME = 255
WHAT_TEXT_IS = "Text is UTF-8 without null bytes; iconv -f ENCODING -t utf-8 converts others, such as latin1."


def user_path(text: str) -> Path:
    """The absolute path that ``text`` means, ~ included; nothing needs to be there. Raises InputError.

    Absolute, so that a worker with another working directory finds the same.
    """
    shown = text if len(text) <= LONGEST_NAME else f"{text[:60]}...{text[-20:]}"
    try:
        path = Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as error:  # ~ of nobody; a working directory that was removed
        raise InputError(f"'{shown}' is no path: {error}") from error
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"'{shown}' cannot be looked at: {told}.") from error
    return path


@contextmanager
def parsing(path: Path, otherwise: str | Callable[[str], str]) -> Iterator[None]:
    """Whatever is raised within becomes one InputError: ``otherwise``, with the first words of what was raised.

    ``otherwise`` follows the file's name. It has "{reason}" for these words, or is a function of them.

    For parsers of others' making, which raise anything on bytes that they were not made for: put nothing
    else within, or a fault of ours is told as the user's. An error of the file system (a disk that fails)
    is told as such.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot read '{path}': {error.strerror}.") from error
        told = "more memory than there is" if isinstance(error, MemoryError) else str(error)
        reason = next(iter(told.splitlines()), "")[:200].rstrip(".") or type(error).__name__
        words = otherwise.format(reason=reason) if isinstance(otherwise, str) else otherwise(reason)
        raise InputError(f"'{path}' {words}") from error


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The regular file ``path``, open for reading. Raises InputError for other things, and for an empty one."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}. Check its permissions.") from error


def check_regular(path: Path) -> int:
    """The size of the regular file ``path`` in bytes, above 0. Raises InputError where it is another thing."""
    check_kept(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        dangling = "; a link of this name leads nowhere" if path.is_symlink() else ""
        raise InputError(f"there is no file '{path}'{dangling}.") from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}. Check its permissions.") from error
    if not S_ISREG(status.st_mode):
        raise InputError(
            f"'{path}' is not a regular file, but a {'folder' if path.is_dir() else 'pipe, a socket or a device'}. "
            "Write the data to a file, and give that."
        )
    if status.st_size == 0:
        raise InputError(f"'{path}' is empty. Give a file with data in it.")
    return status.st_size


def check_kept(path: Path) -> None:
    """Raises InputError for files and folders that the system makes up, which are others in another process."""
    if f"{path}/".startswith(OF_A_PROCESS):
        raise InputError(f"'{path}' means another thing in another process. Give the path of data on a disk.")


def check_fits(path: Path, num_bytes: int) -> None:
    """Raises InputError where reading ``path`` takes more than the memory that is free."""
    free = free_memory()
    if num_bytes > free:
        raise InputError(
            f"reading '{path}' takes about {num_bytes / 1e9:.3g} GB of memory, and {free / 1e9:.3g} GB are free. "
            "Give a part of it."
        )


def read_lines(path: Path, *, newline: str) -> Iterator[str]:
    """The lines of a text with their ends. ``newline``: "" for any of the three ends, as in csv, or "\\n".

    A byte order mark is left out. Raises InputError, with the place, for what is not UTF-8 text.
    """
    with opened(path) as raw:
        if flaw := flaw_of_text(raw.read(START), whole=False):
            raise InputError(f"'{path}' is not text: {flaw}. {WHAT_TEXT_IS}")
        raw.seek(0)
        with io.TextIOWrapper(raw, "utf-8-sig", newline=newline) as file:
            number = 0
            while line := _next_line(file, path):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise InputError(f"line {number} of '{path}' is longer than {LONGEST_LINE} characters.")
                yield line


def _next_line(file: io.TextIOWrapper, path: Path) -> str:
    try:
        line = file.readline(LONGEST_LINE)
        if "\0" not in line:
            return line
    except UnicodeDecodeError:
        pass
    # Rare, so the file is read again for the place, which the decoder, who sees pieces, does not know.
    check_fits(path, 2 * path.stat().st_size)
    raise InputError(f"'{path}' is not text: {flaw_of_text(path.read_bytes(), whole=True)}. {WHAT_TEXT_IS}")


def flaw_of_text(content: bytes, *, whole: bool) -> str | None:
    """Why ``content`` is not UTF-8 text, and where; None where it is. Not ``whole``: it may end in a character."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "its first bytes are the mark of UTF-16 (iconv -f utf-16)"
    if (at := content.find(b"\0")) >= 0:
        return f"{_place(content, at)} holds a null byte, as UTF-16 and binary data do"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content, final=whole)
    except UnicodeDecodeError as error:
        return (
            f"{_place(content, error.start)} holds the byte {content[error.start]:#04x}, which is not UTF-8"
        )
    return None


def _place(content: bytes, at: int) -> str:
    line, start = content.count(b"\n", 0, at) + 1, content.rfind(b"\n", 0, at)
    return f"line {line}, byte {at - start}"
