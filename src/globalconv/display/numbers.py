"""How numbers, times, sizes and lists are formatted in all commands, pages and plots."""

import math
import re
from datetime import datetime

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def format_duration(seconds: float) -> str:
    """A readable duration: 45 s, 3 min 20 s, 1 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def format_bytes(num_bytes: float) -> str:
    """Bytes in powers of ten: 640 B, 812 kB, 12.3 MB, 1.40 GB."""
    if num_bytes < 999.5 and float(num_bytes).is_integer():
        return f"{num_bytes:.0f} B"
    return _scaled(num_bytes, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")))


def decimals_for(margin: float) -> int:
    """The number of decimals of a metric: one more than its margin needs, 3 if the margin is 0."""
    if not (math.isfinite(margin) and margin > 0):
        return 3
    return min(max(math.ceil(-math.log10(margin) - 1e-9) + 1, 0), 6)


def score_text(value: float, margin: float) -> str:
    """A score with ``decimals_for(margin)`` decimals."""
    return f"{value:.{decimals_for(margin)}f}"


def plain(value: float | None, decimals: int = 3) -> str:
    """``value`` with a fixed number of decimals; a dash for None, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def signed(value: float | None, decimals: int = 3) -> str:
    """``plain`` with its sign always written, except for what rounds to zero."""
    text = plain(value, decimals)
    if text == NOTHING or text.startswith(MINUS) or float(text) == 0:
        return text
    return f"+{text}"


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0214, 2.14, 214, 21400."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    # 9.996 rounds up to the next power of ten and loses a decimal.
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(digits, 0)}f}".replace("-", MINUS)


def tick(value: float, *, sign: bool = False) -> str:
    """A number on an axis, without trailing zeros: 0.25, 1.5 k, −0.4, or +0.4 with ``sign``."""
    if abs(value) >= 9999.5:
        text = count(value)
        head, _, unit = text.partition(" ")
        text = (f"{head.rstrip('0').rstrip('.')} {unit}" if "." in head else text).strip()
    else:
        text = f"{value:.6g}" if abs(value) > 1e-12 else "0"
    text = text.replace("-", MINUS)
    return f"+{text}" if sign and value > 0 and text != "0" else text


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str:
    """``value`` in the largest unit that leaves at least 1 after rounding to three digits."""
    for size, unit in scales:
        if abs(value) >= 0.9995 * size:
            return f"{significant(value / size)} {unit}".strip()
    size, unit = scales[-1]
    return f"{significant(value / size)} {unit}".strip()


def count(value: float) -> str:
    """A count: 812, 104 k, 1.24 M."""
    if abs(value) < 999.5 and float(value).is_integer():
        return str(int(value))
    return _scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")))


def duration(seconds: float) -> str:
    """A short time: 12.0 µs, 3.20 ms, 1.40 s."""
    return _scaled(seconds, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))


def round_duration(seconds: float) -> str:
    """A round time, for an axis: 10 µs, 3 ms, 1 s."""
    number, unit = duration(seconds).split(" ")
    return f"{float(number):g} {unit}"


def span(seconds: float) -> str:
    """A time in a report: 4.10 s, and from ten seconds on as ``format_duration`` writes it."""
    return f"{significant(seconds)} s" if seconds < 9.95 else format_duration(seconds)


def moment(iso: str) -> str:
    """'2025-11-22 13:19' from an ISO date and time; other text is returned unchanged."""
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return iso


def flops(value: float) -> str:
    """Floating point operations: 3.10 GFLOP, 1.24 TFLOP."""
    return _scaled(
        value,
        ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1.0, "FLOP")),
    )


def rate(value: float) -> str:
    """A learning rate: 0.003, 3e-5."""
    return f"{value:.3g}".replace("e-0", "e-")


def percent(value: float) -> str:
    """A share: 1.2 %, 12 %."""
    return f"{100 * value:.1f}".removesuffix(".0") + " %"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def shortened(name: str, limit: int) -> str:
    """``name`` without its middle if it is longer than ``limit``; both ends help to distinguish names."""
    if len(name) <= limit:
        return name
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - tail :]}"


def in_lines(name: str, limit: int) -> str:
    """An arm's ``name`` in lines of at most ``limit`` characters, broken where its options and parts begin.

    Two arms may differ in the middle of long names, which ``shortened`` would leave out.
    """
    if len(name) <= limit:
        return name
    parts = re.findall(r"[^\[,+/]*[\[,+/]?", name)
    pieces = [
        piece for part in parts for piece in ([part] if len(part) <= limit else re.split(r"(?<==)", part))
    ]
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece) > limit:
            lines.append("")
        lines[-1] += piece
    return "\n".join(shortened(line, limit) for line in lines)
