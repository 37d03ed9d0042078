"""Open and check the user's files: paths, regular files, memory, and text in UTF-8.

Pipes and devices would block or never end, so only regular files are opened. A file's claimed size is compared with
the free memory before anything is allocated.
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
"""Paths that mean another file in another process, such as a worker, or whose content the system generates."""
START = 1 << 16
"""The first bytes, in which binary data nearly always shows."""
LONGEST_LINE = 1 << 24
LONGEST_NAME = 255
WHAT_TEXT_IS = (
    "Text must be UTF-8 without null bytes. Convert other encodings with iconv -f ENCODING -t utf-8."
)


def user_path(text: str) -> Path:
    """The absolute path of ``text``, with ~ expanded; it need not exist. Raises InputError.

    It is absolute so that a worker with another working directory finds the same file.
    """
    shown = text if len(text) <= LONGEST_NAME else f"{text[:60]}...{text[-20:]}"
    try:
        path = Path(text).expanduser().absolute()
    except (RuntimeError, OSError) as error:  # ~ of an unknown user; a working directory that was removed
        raise InputError(f"'{shown}' is not a path: {error}") from error
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"'{shown}' cannot be accessed: {reason}.") from error
    return path


@contextmanager
def parsing(path: Path, otherwise: str | Callable[[str], str]) -> Iterator[None]:
    """Turn any exception of a third-party parser into one InputError.

    ``otherwise`` follows the file's name in the message. It contains "{reason}", the first line of the exception, or
    is a function of that reason.

    Parsers raise anything on bytes that they were not written for. Put nothing but the parser's call inside, or a bug
    of ours is reported as the user's mistake. Errors of the file system (a failing disk) are reported as such.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot read '{path}': {error.strerror}.") from error
        message = "it needs more memory than there is" if isinstance(error, MemoryError) else str(error)
        reason = next(iter(message.splitlines()), "")[:200].rstrip(".") or type(error).__name__
        words = otherwise.format(reason=reason) if isinstance(otherwise, str) else otherwise(reason)
        raise InputError(f"'{path}' {words}") from error


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The regular file ``path``, open for reading. Raises InputError if it is anything else, or empty."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}. Check its permissions.") from error


def check_regular(path: Path) -> int:
    """The size of the regular file ``path`` in bytes, above 0. Raises InputError if it is anything else."""
    check_kept(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        dangling = " (it is a broken link)" if path.is_symlink() else ""
        raise InputError(f"there is no file '{path}'{dangling}.") from error
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}. Check its permissions.") from error
    if not S_ISREG(status.st_mode):
        raise InputError(
            f"'{path}' is a {'folder' if path.is_dir() else 'pipe, socket or device'}, not a regular file. "
            "Write the data to a file and give that file."
        )
    if status.st_size == 0:
        raise InputError(f"'{path}' is empty. Give a file with data.")
    return status.st_size


def check_kept(path: Path) -> None:
    """Raise InputError for paths that mean another file in another process, such as /dev/stdin."""
    if f"{path}/".startswith(OF_A_PROCESS):
        raise InputError(
            f"'{path}' means a different file in another process. Give the path of a file on disk."
        )


def check_fits(path: Path, num_bytes: int) -> None:
    """Raise InputError if reading ``path`` needs more than the free memory."""
    free = free_memory()
    if num_bytes > free:
        raise InputError(
            f"reading '{path}' needs about {num_bytes / 1e9:.3g} GB of memory, and only {free / 1e9:.3g} GB are free. "
            "Give a smaller file."
        )


def read_lines(path: Path, *, newline: str) -> Iterator[str]:
    """The lines of a text file with their ends. ``newline``: "" for all three line ends, as in csv, or "\\n".

    A byte order mark is skipped. Raises InputError, with the line and byte, if the file is not UTF-8 text.
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
                    raise InputError(
                        f"line {number} of '{path}' is longer than {LONGEST_LINE} characters. Break it into "
                        "shorter lines."
                    )
                yield line


def _next_line(file: io.TextIOWrapper, path: Path) -> str:
    try:
        line = file.readline(LONGEST_LINE)
        if "\0" not in line:
            return line
    except UnicodeDecodeError:
        pass
    # This is rare, so the file is read again: the decoder sees pieces and does not know the line.
    check_fits(path, 2 * path.stat().st_size)
    raise InputError(f"'{path}' is not text: {flaw_of_text(path.read_bytes(), whole=True)}. {WHAT_TEXT_IS}")


def flaw_of_text(content: bytes, *, whole: bool) -> str | None:
    """Why ``content`` is not UTF-8 text, and where; None if it is. ``whole`` False: it may end within a character."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it begins with the byte order mark of UTF-16 (use iconv -f utf-16)"
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
