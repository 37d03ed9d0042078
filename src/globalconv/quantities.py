"""Durations as people write and read them."""

import math
import re

from globalconv.errors import InputError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds of "90s", "5m", "1h30m", "1.5h"; a bare number is seconds.

    Raises InputError for anything else, and for a duration that is not positive.
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
    return seconds


def format_duration(seconds: float) -> str:
    """A duration as a person says it: 45 s, 3 min 20 s, 1 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def duration_option(seconds: float) -> str:
    """A duration rounded up as one would type it: 45s, 12m, 3h. ``parse_duration`` reads it."""
    if seconds <= 60:
        return f"{math.ceil(seconds)}s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"
