"""Read labelled sequences from a table in text, and say where it is not one."""

import csv
from array import array
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.labelled import Labelled, first_few

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
"""Cells, in lower case, that stand for no value."""


def read_csv(path: Path, label: str | None) -> Labelled:
    """One sequence of one channel per row: a label column, and all the others in their order.

    The first line names the columns. Cells are separated by tabs in a .tsv file, and else by whichever
    of comma, semicolon and tab the first line has most of. Raises InputError.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first_line = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first_line.count)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            rows = ((reader.line_num, [cell.strip() for cell in row]) for row in reader if row)
            return _read(path, label, rows)
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text; iconv -t utf-8 converts it.") from error
    except csv.Error as error:
        raise InputError(f"'{path}' is not a table after line {reader.line_num}: {error}.") from error


def _read(path: Path, label: str | None, rows: Iterator[tuple[int, list[str]]]) -> Labelled:
    _, header = next(rows, (1, []))
    index = _label_index(path, header, label)
    columns = header[:index] + header[index + 1 :]
    values, labels, lines = array("d"), [], []
    for line, cells in rows:
        if len(cells) != len(header):
            raise InputError(
                f"line {line} of '{path.name}' has {len(cells)} cells, but the first line names {len(header)} "
                "columns. Mend that line; a cell with the separator in it must stand in quotes."
            )
        name = cells.pop(index)
        if name == "":
            raise InputError(
                f"line {line} of '{path.name}' has no label in column '{label}'. Fill or drop it."
            )
        try:
            numbers = [float(cell) for cell in cells]
        except ValueError:
            numbers = [_number(path, line, *cell) for cell in zip(columns, cells, strict=True)]
        values.extend(numbers)
        labels.append(name)
        lines.append(line)
    if not labels:
        raise InputError(f"'{path.name}' has column names but no rows. Give one row for each example.")
    table = np.frombuffer(values, np.float64).reshape(len(labels), len(columns))
    if (gaps := ~np.isfinite(table)).any():
        places = (
            f"'{columns[column]}' ({gaps[:, column].sum()}, first in line {lines[gaps[:, column].argmax()]})"
            for column in np.flatnonzero(gaps.any(axis=0))
        )
        raise InputError(
            f"'{path.name}' has missing or infinite values in column {first_few(places)}. "
            "Fill them, or drop the rows or the columns."
        )
    return Labelled(table[:, :, None], np.array(labels), tuple(columns))


def _number(path: Path, line: int, column: str, cell: str) -> float:
    if cell.lower() in MISSING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        raise InputError(
            f"line {line}, column '{column}' of '{path.name}' holds '{cell}', which is not a number "
            "(decimals are written with a point). Every column but the label's must hold numbers: "
            "encode it, or drop it."
        ) from None


def _label_index(path: Path, header: list[str], label: str | None) -> int:
    if not any(header):
        raise InputError(f"'{path.name}' has no header: its first line must name the columns.")
    if all(_is_number(name) for name in header):
        raise InputError(
            f"the first line of '{path.name}' holds numbers, no column names: put a line of names before it."
        )
    if "" in header:
        raise InputError(
            f"column {header.index('') + 1} of '{path.name}' has no name. If it counts the rows, leave it "
            "out (pandas: to_csv(path, index=False)); else name it in the first line."
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(
            f"'{path.name}' has two columns of one name: {first_few(twice)}. Rename one of them."
        )
    if label is None:
        raise InputError(
            f"which column of '{path.name}' holds the class? Name it with --label. "
            f"Columns: {first_few(header)}."
        )
    if label not in header:
        if sum(map(_is_number, header)) > len(header) / 2:
            raise InputError(
                f"'{path.name}' has no column '{label}', and its first line holds mostly numbers: it must name "
                "the columns. Put a line of names before it."
            )
        close = get_close_matches(label, header, n=1, cutoff=0.5)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise InputError(f"'{path.name}' has no column '{label}'. {hint}Columns: {first_few(header)}.")
    if len(header) == 1:
        raise InputError(f"'{path.name}' has the one column '{label}' and no values beside it.")
    return header.index(label)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
