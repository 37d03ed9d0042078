"""Read labelled sequences from a CSV or TSV table; errors name the line and the column."""

import csv
import math
import re
import shlex
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.files import check_fits, parsing, read_lines
from globalconv.tasks.labelled import LIKE_GROUPS, Labelled, first_few
from globalconv.tasks.names import LONGEST, shown_names
from globalconv.tasks.ragged import describe_lengths, lengths_by_gaps, without_padding

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""Cells, in lower case, that mean a missing value."""
INFINITE = frozenset({"inf", "infinity"})
PLAIN = re.compile(r"[-+.0-9eE]*")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
EXACT = 2**53
"""Below this float64 represents every whole number exactly."""
COPIES = 3
"""Numbers of 8 bytes that reading needs per cell: the table, the splits and their standardised values."""


def read_csv(path: Path, label: str | None, groups: str | None = None) -> Labelled:
    """One sequence of one channel per row: a label column, optionally a groups column, and all other columns in order.

    A row whose last cells are empty is a shorter sequence.

    The first line names the columns. Cells are separated by tabs in a .tsv file, otherwise by whichever
    of comma, semicolon and tab is most frequent in the first line. Raises InputError.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    header = _shown(header, path)
    index = _label_index(path, header, label)
    group_index = None if groups is None else _group_index(path, header, index, groups)
    places = [place for place in range(len(header)) if place not in (index, group_index)]
    return _read(path, header, places, index, group_index, rows)


def read_new_csv(
    path: Path, label: str | None, groups: str | None, columns: Sequence[str], *, ragged: bool
) -> Labelled:
    """New rows: the ``columns`` of a training file, found by name, and ``label`` if the file has it.

    ``groups`` is ignored. ``ragged``: sequences may be shorter, so the last columns may be missing. Raises InputError
    if the columns are not those of the training file.
    """
    rows = _rows(path)
    _, header = next(rows, (1, []))
    header = _shown(header, path)
    _check_names(path, header)
    found = [name for name in columns if name in header]
    if found != list(columns[: len(found)] if ragged and found else columns):
        missing = [name for name in columns if name not in header]
        raise InputError(
            f"'{path.name}' lacks columns of the training file: {first_few(missing)}. Add them, or name them in its "
            f"first line as in the training file. Columns: {first_few(header)}."
        )
    unknown = [name for name in header if name not in {*columns, label, groups}]
    if unknown:
        raise InputError(
            f"'{path.name}' has columns that the training file does not have: {first_few(unknown)}. Remove them."
        )
    index = header.index(label) if label in header else None
    return _read(path, header, [header.index(name) for name in found], index, None, rows)


def _shown(header: list[str], path: Path) -> list[str]:
    return list(shown_names(header, "column", path).values()) if len(set(header)) == len(header) else header


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the number of its last line."""
    lines = read_lines(path, newline="")
    first = next(lines, "")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    yield from _parsed(path, chain([first], lines), delimiter)


def _parsed(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    # Exceptions of the code that consumes the rows do not pass through here.
    with parsing(path, lambda reason: f"is not a table after line {reader.line_num}: {reason}."):
        for row in reader:
            if row:
                yield reader.line_num, [cell.strip() for cell in row]


def _read(
    path: Path,
    header: list[str],
    places: list[int],
    index: int | None,
    group_index: int | None,
    rows: Iterator[tuple[int, list[str]]],
) -> Labelled:
    """The values at ``places``, and the label and group of each row, if there are any."""
    columns = [header[place] for place in places]
    label = None if index is None else header[index]
    groups = None if group_index is None else header[group_index]
    values = array("d")
    labels: list[str] = []
    members: list[str] = []
    lines: list[int] = []
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"line {line} of '{path.name}' has {len(cells)} cells, but the first line names {len(header)} "
                "columns. Correct that line: quote a cell that contains the separator, and give a shorter sequence "
                "empty cells at its end."
            )
        if not lines:
            _check_size(path, cells)
        name = None if index is None else cells[index]
        member = None if group_index is None else cells[group_index]
        if name == "":
            raise InputError(
                f"line {line} of '{path.name}' has no label in column '{label}'. Fill in the label or drop the line."
            )
        if member is not None and member.lower() in MISSING:
            raise InputError(
                f"line {line} of '{path.name}' has no group in column '{groups}'. Fill in the group or drop the line."
            )
        if name is not None and len(name) > LONGEST:
            raise InputError(
                f"line {line} of '{path.name}' has {len(name)} characters in column '{label}', '{name[:40]}...'. "
                f"Use class names of at most {LONGEST} characters."
            )
        values.extend(_numbers(path, line, columns, [cells[place] for place in places]))
        lines.append(line)
        if name is not None:
            labels.append(name)
        if member is not None:
            members.append(member)
    if not lines:
        raise InputError(f"'{path.name}' has column names but no rows. Give one row per example.")
    if label in labels:
        raise InputError(
            f"the first line of '{path.name}' has no column names: its '{label}' is a class, as in line "
            f"{lines[labels.index(label)]}. Add a line of column names before it."
        )
    table = np.frombuffer(values, np.float64).reshape(len(lines), len(columns))
    lengths = lengths_by_gaps(table[:, :, None])
    if lengths is None and (gaps := ~np.isfinite(table)).any():
        gappy = (
            f"'{columns[column]}' ({gaps[:, column].sum()}, first in line {lines[gaps[:, column].argmax()]})"
            for column in np.flatnonzero(gaps.any(axis=0))
        )
        raise InputError(
            f"'{path.name}' has missing or infinite values in column {first_few(gappy)}. "
            "Fill them, or drop the rows or columns. (Only the last cells of a shorter sequence may be empty.)"
        )
    shown = shown_names(dict.fromkeys(labels), "class", path)
    sequences = table[:, :, None]
    notices: tuple[str, ...] = ()
    if alike := [name for name in columns if name.lower() in LIKE_GROUPS]:
        notices = (
            f"Column '{alike[0]}' is read as part of the sequences. If it marks examples that belong together, add "
            f"--groups {shlex.quote(alike[0])}.",
        )
    if lengths is not None:
        sequences = without_padding(sequences, lengths)
        notices += (
            "Cells are missing only at the ends of rows, which are read as the ends of the sequences: "
            f"{describe_lengths(lengths, int(lengths.max()))}.",
        )
    return Labelled(
        sequences,
        np.array([shown[name] for name in labels], str),
        tuple(columns),
        lengths,
        None if groups is None else np.array(members),
        notices,
    )


def _group_index(path: Path, header: list[str], label_index: int, groups: str) -> int:
    if groups not in header:
        raise _no_column(path, groups, header)
    if header.index(groups) == label_index:
        raise InputError(f"--groups {groups}: this is the column of the classes. Name another column.")
    if len(header) == 2:
        raise InputError(
            f"'{path.name}' has no columns besides '{header[label_index]}' and '{groups}'. Add the values."
        )
    return header.index(groups)


def _check_size(path: Path, cells: list[str]) -> None:
    """Raise InputError if the table and its splits do not fit into memory, judged by the first row."""
    rows = path.stat().st_size // (sum(map(len, cells)) + len(cells))
    check_fits(path, COPIES * 8 * rows * len(cells))


def _numbers(path: Path, line: int, columns: list[str], cells: list[str]) -> list[float]:
    # float() also accepts what is not a number in data: 2021_01, digits of other scripts, nan.
    if PLAIN.fullmatch("".join(cells)):
        try:
            numbers = list(map(float, cells))
        except ValueError:
            pass
        else:
            if max(map(abs, numbers)) < EXACT:
                return numbers
    return [_number(path, line, *cell) for cell in zip(columns, cells, strict=True)]


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if cell.lower() in MISSING:
        return math.nan
    if cell.lower().lstrip("+-") in INFINITE:
        return math.inf
    place = f"line {line}, column '{column}' of '{path.name}' holds '{cell[:40]}'"
    if not NUMBER.fullmatch(cell):
        raise InputError(
            f"{place}, which is not a number "
            "(write decimals with a point). Every column except the label must hold numbers. "
            "Encode or drop the column, or, if it marks examples that belong together, name it with --groups."
        )
    number = float(cell)
    if abs(number) >= EXACT and cell.lstrip("+-").isdigit():
        raise InputError(
            f"{place}, a whole number beyond 2^53, which float64 cannot represent. Remove "
            "identifiers; write a measured value like 1.5e20."
        )
    return number


def _check_names(path: Path, header: list[str]) -> None:
    """Raise InputError unless every column has a unique name."""
    if not any(header):
        raise InputError(f"'{path.name}' has no header. Its first line must name the columns.")
    if "" in header:
        raise InputError(
            f"column {header.index('') + 1} of '{path.name}' has no name. If it counts the rows, remove "
            "it (pandas: to_csv(path, index=False)). Otherwise name it in the first line."
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(
            f"'{path.name}' has two columns with the same name: {first_few(twice)}. Rename one of them."
        )


def _label_index(path: Path, header: list[str], label: str | None) -> int:
    if any(header) and all(_is_number(name) for name in header):
        raise InputError(
            f"the first line of '{path.name}' holds numbers instead of column names. Add a line of column names "
            "before it."
        )
    _check_names(path, header)
    if label is None:
        raise InputError(
            f"--label is missing: name the column of '{path.name}' that holds the class. "
            f"Columns: {first_few(header)}."
        )
    if label not in header:
        if sum(map(_is_number, header)) > len(header) / 2:
            raise InputError(
                f"'{path.name}' has no column '{label}', and its first line holds mostly numbers instead of column "
                "names. Add a line of column names before it."
            )
        raise _no_column(path, label, header)
    if len(header) == 1:
        raise InputError(f"'{path.name}' has only the column '{label}'. Add the columns of the values.")
    return header.index(label)


def _no_column(path: Path, name: str, header: list[str]) -> InputError:
    close = get_close_matches(name, header, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return InputError(f"'{path.name}' has no column '{name}'. {hint}Columns: {first_few(header)}.")


def _is_number(name: str) -> bool:
    return NUMBER.fullmatch(name) is not None
