"""What was found, on the terminal."""

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from globalconv.bench.table import threads_words
from globalconv.cost.command.record import Crossing, Exponent, Measure, Record, Row
from globalconv.cost.contenders import RIVAL, Pass
from globalconv.display.numbers import format_bytes

NAME_WIDTH = 17
CELL_WIDTH = 13
"""Of a length, with the line between two of them."""
PASS_WORDS: dict[Pass, str] = {
    "forward": "forward",
    "training": "forward and backward",
    "decode": "decoding one token, by what is cached",
}


def print_record(record: Record, console: Console) -> None:
    """Print the machine's speeds; each sweep's points, growth and crossovers; and what is missing."""
    for speeds in record.speeds:
        console.print(
            f"{record.device}, {threads_words(speeds.threads)}: copies {speeds.bytes_per_second / 1e9:.1f} GB/s, "
            f"multiplies matrices at {speeds.flops_per_second / 1e9:.0f} GFlop/s.",
            highlight=False,
            soft_wrap=True,
        )
    for (phase, width), rows in sweeps_of(record):
        console.print()
        console.print(Text(sweep_words(record, phase, width), "bold"), soft_wrap=True)
        for table in _points(rows, console.width):
            console.print(table)
        console.print(_summary(record, phase, width, names_in(rows)))
    console.print(
        "Times: the median, and the middle half where it is wider than 10 %. GFlop/s, GB/s: the formulas' flops and "
        "bytes over the median. Peak: the tensors that a call makes. Grows as: the exponent of the length in the "
        "seconds, over the longest lengths, with a 95 % interval over the repetitions; and in the flops, by formula. "
        f"By flops, bytes (formulas), seconds (measured): from which length on it costs less than {RIVAL}; "
        "'>' and a length: nowhere up to it.",
        highlight=False,
        markup=False,
    )
    for line in _missing(record):
        console.print(line, highlight=False, markup=False)


def sweeps_of(record: Record) -> Iterator[tuple[tuple[Pass, int], list[Row]]]:
    """The rows of each pass and width."""
    for key, rows in groupby(record.results, lambda row: (row.phase, row.width)):
        yield key, list(rows)


def names_in(rows: Iterable[Row]) -> list[str]:
    """The mixers in ``rows``."""
    return list(dict.fromkeys(row.mixer for row in rows))


def sweep_words(record: Record, phase: Pass, width: int) -> str:
    """A sweep, as a title says it."""
    mode = "causal" if phase == "decode" else record.mode
    return f"{mode}, {PASS_WORDS[phase]}, width {width}, batch {record.batch}"


def _points(rows: list[Row], width: int) -> Iterator[Table]:
    """Four lines for each mixer, a column for each length; as many columns to a table as there is room for."""
    lengths = sorted({row.length for row in rows})
    columns = max(1, (width - NAME_WIDTH) // CELL_WIDTH)
    for start in range(0, len(lengths), columns):
        part = lengths[start : start + columns]
        table = Table(box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("length", min_width=NAME_WIDTH - 1, no_wrap=True)
        for length in part:
            table.add_column(str(length), justify="right", min_width=CELL_WIDTH - 2, no_wrap=True)
        for name in names_in(rows):
            at = {row.length: row for row in rows if row.mixer == name}
            found = [at.get(length) for length in part]
            if any(found):
                table.add_row(f"{name}, ms", *map(_time, found))
                table.add_row(
                    "  GFlop/s", *(_giga(row.flops_per_second if row else None) for row in found), style="dim"
                )
                table.add_row(
                    "  GB/s", *(_giga(row.bytes_per_second if row else None) for row in found), style="dim"
                )
                table.add_row(
                    "  peak", *(format_bytes(row.peak_bytes) if row else "" for row in found), style="dim"
                )
        yield table


def _time(row: Row | None) -> str:
    if row is None:
        return ""
    wide = row.ms_high - row.ms_low > 0.1 * row.ms
    return digits_words(row.ms, 3) + f"\n{digits_words(row.ms_low, 2)}-{digits_words(row.ms_high, 2)}" * wide


def digits_words(number: float, digits: int) -> str:
    """A number with so many digits, and all that are before the point."""
    return f"{number:.0f}" if number >= 10**digits - 0.5 else f"{number:.{digits}g}"


def _giga(speed: float | None) -> str:
    return "" if speed is None else digits_words(speed / 1e9, 3)


def _summary(record: Record, phase: Pass, width: int, names: list[str]) -> Table:
    table = Table(box=SIMPLE, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("grows as", min_width=11, no_wrap=True)
    for head in ("L^seconds", "L^flops", "by flops", "by bytes", "by seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    for name in names:
        fit = next((e for e in record.scaling if (e.phase, e.width, e.mixer) == (phase, width, name)), None)
        found: dict[Measure, Crossing] = {
            c.by: c for c in record.crossovers if (c.phase, c.width, c.mixer) == (phase, width, name)
        }
        crossings = [crossing_words(found.get(by)) for by in ("flops", "bytes", "seconds")]
        table.add_row(name, *_exponents(fit), *crossings)
    return table


def _exponents(fit: Exponent | None) -> tuple[str, str]:
    if fit is None:
        return "", ""
    of_flops = "" if fit.flops is None else f"{fit.flops:.2f}"
    return f"{fit.exponent:.2f} ({fit.low:.2f}-{fit.high:.2f})", of_flops


def crossing_words(crossing: Crossing | None) -> str:
    """A crossover in a few letters."""
    if crossing is None:
        return ""
    if crossing.length is None:
        return f"> {crossing.longest}"
    if crossing.before is None:
        return f"from {crossing.after}" if crossing.by == "seconds" else "always"
    return f"from {crossing.length:.0f}"


def _missing(record: Record) -> Iterator[str]:
    for name, why in record.left_out.items():
        yield f"Left out: {name}: {why}."
    for stopped in record.stopped:
        yield f"Stopped: {stopped.mixer}, {PASS_WORDS[stopped.phase]}, width {stopped.width}: {stopped.why}."
