"""Values of options as people type them: durations, sizes, lengths, names; and a command as it is typed again."""

import math
import re
import shlex
from collections.abc import Iterable

from globalconv.errors import InputError, printable
from globalconv.registry.spelling import split_outside_brackets

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 1e12
"""Seconds: more is a slip of the keys."""
SEEDS = -(2**63), 2**63 - 1
"""What PyTorch's generators take."""
MOST_ROUNDS = 10**6
LARGEST_LENGTH, LARGEST_WIDTH = 2**30, 2**24
"""No larger tensor fits anywhere, and products of larger sizes overflow the integers that PyTorch counts with."""


def parse_duration(text: str) -> float:
    """Seconds of "90s", "5m", "1h30m", "1.5h"; a bare number is seconds.

    Raises InputError for anything else, and for a duration that is not positive or endless.
    """
    compact = re.sub(r"\s*([smhd])\s*", r"\1", text.strip().lower())
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise InputError(f"'{text}' is not a duration; write it like 90s, 5m, 1h or 1h30m.")
    if len(parts) > 1 and any(not unit for _, unit in parts):
        raise InputError(f"'{text}' mixes numbers with and without a unit; write it like 1h30m.")
    seconds = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if seconds <= 0:
        raise InputError(f"'{text}' is no time at all; give a positive duration such as 5m.")
    if seconds > LONGEST:
        raise InputError(f"'{_shown(text)}' is longer than 30,000 years; give a duration such as 5m or 1h.")
    return seconds


def duration_option(seconds: float) -> str:
    """A duration rounded up as one would type it: 45s, 12m, 3h. ``parse_duration`` reads it."""
    if seconds <= 60:
        return f"{math.ceil(seconds)}s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"


def parse_lengths(text: str) -> tuple[int, ...]:
    """Lengths of "64:65536", doubled from the first up to the last, or of "60,100,1000"."""
    bounds = re.fullmatch(r"\s*([0-9]+)\s*:\s*([0-9]+)\s*", text)
    if bounds is None:
        return parse_numbers("--lengths", text)
    first, last = (_whole("--lengths", number, text) for number in bounds.groups())
    if not 1 <= first <= last:
        raise InputError(f"--lengths {text}: from 1 on, and the smaller first, as in 64:65536.")
    return tuple(first << i for i in range((last // first).bit_length()))


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers from 1 on, with commas between them; each is kept once, in growing order."""
    names = parse_names(option, text)
    if not all(re.fullmatch(r"[0-9]+", name) and name.strip("0") for name in names):
        doubled = ", or 64:65536 for doubled ones" if option == "--lengths" else ""
        raise InputError(f"{option} {text}: give whole numbers from 1 on, with commas between them{doubled}.")
    return tuple(sorted({_whole(option, name, text) for name in names}))


def check_range(option: str, number: float, least: float, most: float, *, why: str = "") -> None:
    """Raise InputError unless ``least`` <= ``number`` <= ``most``, which NaN is not. ``why``: of the upper end."""
    if not least <= number <= most:
        end = f"at most {math.floor(most) if most >= 100 else round(most, 2)}{why}"
        raise InputError(
            f"{option} {_shown(str(number))}: give {end if number > most else f'at least {least}'}."
        )


def _whole(option: str, number: str, text: str) -> int:
    """A number of digits, unless there are more of them than anything here has."""
    if len(number) > 18:
        raise InputError(f"{option} {_shown(text)}: a number has too many digits; give a smaller one.")
    return int(number)


def _shown(text: str) -> str:
    """``text``, or its ends where it is long."""
    return text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"


def typed(value: object) -> str:
    """An option's value as people type it: of several values, a list with commas."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple | range) else str(value)


def parse_names(option: str, text: str) -> tuple[str, ...]:
    """Names with commas between them; each is kept once."""
    names = tuple(dict.fromkeys(part.strip() for part in split_outside_brackets(text, ",")))
    if not all(names):
        raise InputError(f"{option} '{text}': give at least one, and commas between several.")
    return names


def parse_bytes(text: str) -> float:
    """Bytes of "512MB", "4 GiB", "1.5G"; a bare number is bytes. A kB has 1000 of them, a KiB 1024.

    Raises InputError for anything else, and for a size that is not positive.
    """
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?\s*", text.lower())
    size = 0.0
    if parts:
        size = float(parts[1]) * (1024.0 if parts[3] else 1000.0) ** " kmgt".index(parts[2] or " ")
    if size <= 0:
        raise InputError(f"'{text}' is not a size; write it like 512MB or 4GB.")
    return size


def command_line(arguments: Iterable[str]) -> str:
    """A command as it can be pasted into a shell. What cannot be shown is spelt as in bash's and zsh's $'...'."""
    return " ".join(map(_quoted, arguments))


def _quoted(argument: str) -> str:
    if printable(argument) == argument:
        return shlex.quote(argument)
    spelt = argument.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{''.join(c if printable(c) == c else _bytes_of(c) for c in spelt)}'"


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
