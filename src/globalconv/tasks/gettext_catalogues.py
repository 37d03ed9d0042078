"""gettext's catalogues, .po and .mo, as pairs of messages; every machine with translated programs has some."""

import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

from globalconv.errors import InputError
from globalconv.tasks.extras import translation_library

SUFFIXES = (".po", ".mo")
SYSTEM = Path("/usr/share/locale")


def read_catalogues(path: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """(message, translation) of the catalogue ``path``, or of all below the folder; and notices.

    A plural message is two pairs, one message and many of the same. Untranslated, fuzzy and obsolete
    entries are left out. In a folder, files that cannot be read are skipped and counted; a single one
    raises InputError.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES)
    if not files:
        raise InputError(f"the folder '{path}' holds no gettext catalogue (.po or .mo).")
    pairs: list[tuple[str, str]] = []
    broken = 0
    for file in files:
        try:
            pairs += _read(file)
        except (OSError, ValueError, LookupError, AttributeError) as error:  # what polib lets through
            if path.is_file():
                raise InputError(
                    f"'{path}' is no catalogue that can be read: {error}. msgconv -t utf-8 mends an encoding."
                ) from error
            broken += 1
    return pairs, [f"{broken} of {len(files)} catalogues could not be read."] if broken else []


def catalogues_of_this_machine() -> Path:
    """The folder of the language that most of the programs installed here are translated to.

    Looked for below share/locale of the system and of the running Python, and in Django where it is
    installed. Raises InputError where there are none.
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
            # English has messages too, nearly all of them their own translations.
            if not file.parts[-3].startswith("en"):
                counts[file.parent.parent] += 1
    if not counts:
        raise InputError(
            "no gettext catalogues (LC_MESSAGES/*.mo) are installed on this machine. Give parallel text of your "
            "own with --data: a .tsv, two files SOURCE,TARGET, or a .po, .mo or a folder of them."
        )
    return max(sorted(counts), key=lambda folder: counts[folder])


def _read(file: Path) -> list[tuple[str, str]]:
    polib = translation_library("polib")
    catalogue = polib.mofile(str(file)) if file.suffix == ".mo" else polib.pofile(str(file))
    return [pair for entry in catalogue.translated_entries() if not entry.obsolete for pair in _pairs(entry)]


def _pairs(entry: Any) -> list[tuple[str, str]]:
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    return [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])]
