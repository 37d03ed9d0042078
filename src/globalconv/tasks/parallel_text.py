"""Parallel text: pairs of sentences from a table, from two files, or from gettext's catalogues."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from globalconv.errors import InputError, printable
from globalconv.tasks.files import check_fits, check_regular, read_lines, user_path
from globalconv.tasks.gettext_catalogues import SUFFIXES, catalogues_of_this_machine, read_catalogues

Pairs = list[tuple[str, str]]
TIMES_ITS_SIZE = 10
"""What parallel text takes in memory: its lines, cut in two, cleaned, and by source."""


@dataclass(frozen=True)
class ParallelText:
    """(source, target) in an order that depends on nothing but the sources; no source comes twice."""

    pairs: Pairs
    where: str
    notices: tuple[str, ...]


def locate(data: str | None) -> tuple[Path, ...]:
    """The absolute paths that ``data`` means: one, or two for SOURCE,TARGET; None: this machine's catalogues.

    Raises InputError for what is not there.
    """
    if data is None:
        return (catalogues_of_this_machine(),)
    whole = user_path(data)
    if whole.exists():
        return (whole,)
    # A comma may be part of a name too: the one that parts two files is the one with a file on either side.
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
        "SOURCE,TARGET with as many lines, or a .po, .mo or a folder of them."
    )


def read_parallel_text(paths: tuple[Path, ...]) -> ParallelText:
    """The pairs in ``paths`` (as from ``locate``): runs of blanks become one, pairs without both sides are left out.

    Lines end in \\n or \\r\\n and in nothing else: whatever a sentence holds, the pairs behind it stay together. Of a
    source's translations the first is kept. Raises InputError for files that are empty or not UTF-8, of
    different numbers of lines, or without two columns.
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
            f"{len(found) - len(whole)} of {counted(len(found), 'pair')} without a source or a target: left out."
        )
    pairs = dict(reversed(whole))
    if len(pairs) < len(whole):
        notices.append(
            f"{counted(len(whole) - len(pairs), 'pair')} with the source of another: left out, a source's first "
            "translation is kept."
        )
    # A hash of the source: the order says nothing about the file's, and splits cut from it stay what they are.
    ordered = sorted(pairs.items(), key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
    return ParallelText(ordered, printable(" and ".join(f"'{path}'" for path in paths)), tuple(notices))


def _two_files(source: Path, target: Path) -> Pairs:
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise InputError(
            f"'{source}' has {counted(len(sources), 'line')} and '{target}' has {len(targets)}: line by line, they "
            "must be translations of each other. Leave an empty line where one is missing."
        )
    return list(zip(sources, targets, strict=True))


def _table(path: Path) -> Pairs:
    pairs = []
    lines = _lines(path)
    if not any(line.strip() for line in lines):
        raise InputError(f"'{path}' has no pair: all of its lines are empty.")
    if not any("\t" in line for line in lines):
        raise InputError(
            f"'{path}' has one column, and parallel text has two, source and target, with one tab between. Where the "
            "translations are the lines of another file, name both: --data SOURCE,TARGET."
        )
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if line.strip() and len(columns) != 2:
            raise InputError(
                f"'{path}', line {number}: {counted(len(columns), 'column')}, and parallel text has two, source and "
                "target, with one tab between."
            )
        if line.strip():
            pairs.append((columns[0], columns[1]))
    return pairs


def _lines(path: Path) -> list[str]:
    check_fits(path, TIMES_ITS_SIZE * check_regular(path))
    # Their ends are blanks too, and fall away with the others.
    return list(read_lines(path, newline="\n"))


def counted(number: int, noun: str) -> str:
    """1 pair, 2 pairs, 0 pairs."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
