"""Parallel text: pairs of sentences from a table, from two files, or from gettext catalogues."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import InputError, printable
from globalconv.tasks.files import check_fits, check_regular, read_lines, user_path
from globalconv.tasks.gettext_catalogues import SUFFIXES, catalogues_of_this_machine, read_catalogues

Pairs = list[tuple[str, str]]
TIMES_ITS_SIZE = 10
"""Memory that parallel text takes, in its own size: lines, columns, cleaned pairs, and the index by source."""


@dataclass(frozen=True)
class ParallelText:
    """(source, target) pairs in an order that depends on the sources alone; every source occurs once."""

    pairs: Pairs
    where: str
    notices: tuple[str, ...]


def locate(data: str | None) -> tuple[Path, ...]:
    """The absolute paths in ``data``: one, or two for SOURCE,TARGET; None: this machine's catalogues.

    Raises InputError if one does not exist.
    """
    if data is None:
        return (catalogues_of_this_machine(),)
    whole = user_path(data)
    if whole.exists():
        return (whole,)
    # A comma may be part of a name: split at the comma that has an existing file on both sides.
    parts = data.split(",")
    cuts = [(",".join(parts[:cut]), ",".join(parts[cut:])) for cut in range(1, len(parts))]
    pairs = [
        tuple(user_path(side.strip()) for side in cut) for cut in cuts if all(side.strip() for side in cut)
    ]
    for pair in pairs:
        if all(path.exists() for path in pair):
            return pair
    if len(parts) > 2:
        raise InputError(f"--data '{data}': give one path, or two as SOURCE,TARGET.")
    missing = next((path for pair in pairs for path in pair if not path.exists()), whole)
    raise InputError(
        f"there is no file or folder '{missing}'. Parallel text is a .tsv (source, tab, target), two files "
        "SOURCE,TARGET with equally many lines, or a .po, .mo or a folder of them."
    )


def read_parallel_text(paths: tuple[Path, ...]) -> ParallelText:
    """The pairs in ``paths`` (as from ``locate``), with whitespace normalised and incomplete pairs left out.

    Lines end only in \\n or \\r\\n, so that no character in a sentence can misalign later pairs. The first
    translation of a source is kept. Raises InputError for files that are empty or not UTF-8, have different numbers
    of lines, or do not have two columns.
    """
    notices: list[str] = []
    if len(paths) == 2:
        found = _two_files(*paths)
    elif paths[0].is_dir() or paths[0].suffix in SUFFIXES:
        found, notices = read_catalogues(paths[0])
    else:
        found = _table(paths[0])
    found = [(" ".join(source.split()), " ".join(target.split())) for source, target in found]
    whole = [pair for pair in found if all(pair)]
    if len(whole) < len(found):
        notices.append(
            f"{len(found) - len(whole)} of {counted(len(found), 'pair')} lack a source or a target and are left out."
        )
    pairs = dict(reversed(whole))
    if len(pairs) < len(whole):
        notices.append(
            f"{counted(len(whole) - len(pairs), 'pair')} with a repeated source left out: the first translation "
            "of a source "
            "is kept."
        )
    # Order by a hash of the source: it is independent of the file's order, and splits stay the same.
    ordered = sorted(pairs.items(), key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
    return ParallelText(ordered, printable(" and ".join(f"'{path}'" for path in paths)), tuple(notices))


def _two_files(source: Path, target: Path) -> Pairs:
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise InputError(
            f"'{source}' has {counted(len(sources), 'line')} and '{target}' has {len(targets)}. They "
            "must be translations line by line. Leave an empty line for a missing sentence."
        )
    return list(zip(sources, targets, strict=True))


def _table(path: Path) -> Pairs:
    pairs = []
    lines = _lines(path)
    if not any(line.strip() for line in lines):
        raise InputError(f"'{path}' has no pairs: all of its lines are empty. Give another file.")
    if not any("\t" in line for line in lines):
        raise InputError(
            f"'{path}' has one column, but parallel text has two, source and target, separated by a tab. If the "
            "translations are in another file, give both: --data SOURCE,TARGET."
        )
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if line.strip() and len(columns) != 2:
            raise InputError(
                f"'{path}', line {number}: {counted(len(columns), 'column')}, but parallel text has two, source and "
                "target, separated by one tab."
            )
        if line.strip():
            pairs.append((columns[0], columns[1]))
    return pairs


def _lines(path: Path) -> list[str]:
    check_fits(path, TIMES_ITS_SIZE * check_regular(path))
    # Line ends are whitespace too, and are removed with the rest.
    return list(read_lines(path, newline="\n"))


def counted(number: int, noun: str) -> str:
    """1 pair, 2 pairs, 0 pairs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
