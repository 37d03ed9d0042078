"""gettext catalogues, .po and .mo, as pairs of messages; every machine with translated programs has some."""

import struct
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from globalconv.errors import InputError
from globalconv.tasks.files import check_fits, check_regular, parsing
from globalconv.tasks.optional_imports import translation_library
from globalconv.tasks.text_files import files_below

SUFFIXES = (".po", ".mo")
SYSTEM = Path("/usr/share/locale")
HEADER = 28
LITTLE_ENDIAN = b"\xde\x12\x04\x95"
TIMES_ITS_SIZE = 20
"""Memory that a catalogue takes, in its own size: an object with a dozen attributes per message."""


def read_catalogues(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """The (message, translation) pairs of the catalogue ``path``, or of all catalogues below that folder; and notices.

    A plural message gives two pairs, the singular and the plural. Untranslated, fuzzy and obsolete
    entries are left out. In a folder, files that cannot be read are skipped and counted; a single file
    raises InputError.
    """
    translation_library("polib")
    if not path.is_dir():
        return _read(path), []
    files = sorted(file for file in files_below(path) if file.suffix in SUFFIXES)
    if not files:
        raise InputError(f"the folder '{path}' holds no gettext catalogue (.po or .mo).")
    pairs: list[tuple[str, str]] = []
    broken = 0
    for file in files:
        try:
            pairs += _read(file)
        except InputError:
            broken += 1
    return pairs, [f"{broken} of {len(files)} catalogues could not be read."] if broken else []


def catalogues_of_this_machine() -> Path:
    """The folder of the language with the most translated programs on this machine.

    It searches share/locale of the system and of the running Python, and Django if installed. Raises InputError if
    there are none.
    """
    packages = Path(sysconfig.get_path("purelib"))
    roots = (
        SYSTEM,
        Path(sys.prefix) / "share" / "locale",
        packages / "django" / "conf" / "locale",
    )
    counts: Counter[Path] = Counter()
    for root in roots:
        for file in root.glob("*/LC_MESSAGES/*.mo"):
            # English has catalogues too, in which nearly every message is its own translation.
            if not file.parts[-3].startswith("en"):
                counts[file.parent.parent] += 1
    if not counts:
        raise InputError(
            "no gettext catalogues (LC_MESSAGES/*.mo) are installed on this machine. Give your own parallel text "
            "with --data: a .tsv, two files SOURCE,TARGET, or a .po, .mo or a folder of them."
        )
    return max(sorted(counts), key=lambda folder: counts[folder])


def _read(file: Path) -> list[tuple[str, str]]:
    polib = translation_library("polib")
    check_fits(file, TIMES_ITS_SIZE * check_regular(file))
    with parsing(
        file,
        "is not a readable catalogue: {reason}. If its encoding is wrong, convert it with msgconv -t utf-8.",
    ):
        if file.suffix == ".mo":
            _check_strings(file.read_bytes())
        catalogue = polib.mofile(str(file)) if file.suffix == ".mo" else polib.pofile(str(file))
        entries = [entry for entry in catalogue.translated_entries() if not entry.obsolete]
        pairs = [pair for entry in entries for pair in _pairs(entry)]
        for pair in pairs:
            "".join(pair).encode()  # the file's declared encoding may produce lone surrogates
        return pairs


def _check_strings(content: bytes) -> None:
    """Check that every string of a .mo ends where its tables say. Raises ValueError and struct.error.

    polib accepts truncated files. Format: "The Format of GNU MO Files" in gettext's manual; a null byte, which is not
    counted, follows each string.
    """
    order = "<" if content.startswith(LITTLE_ENDIAN) else ">"
    count, *tables = struct.unpack_from(f"{order}3I", content, 8)
    # Every writer puts the tables one after the other, after the header.
    if abs(tables[1] - tables[0]) != 8 * count or min(tables) < HEADER:
        raise ValueError("the position or size of its tables does not match its number of messages")
    for table in tables:
        places = np.frombuffer(content, f"{order}u4", 2 * count, table).astype(np.int64).reshape(count, 2)
        ends = places.sum(axis=1)
        if ends.max(initial=0) >= len(content):
            raise ValueError("it is truncated")
        if np.frombuffer(content, np.uint8)[ends].any():
            raise ValueError("a message does not end at its declared length")
        if places[:, 0].sum() > len(content):
            raise ValueError("its messages overlap")


def _pairs(entry: Any) -> list[tuple[str, str]]:
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    return [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])]
